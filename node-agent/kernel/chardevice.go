package kernel

import "fmt"

// Numbers returns the numbers of a device's file, from an entry such as "class/misc/vfio": with them a container can have the
// file, be the one of the node in reach or not.
func (s Sys) Numbers(entry string) (major, minor int64, err error) {
	text, err := s.Read(entry + "/dev")
	if err != nil {
		return 0, 0, fmt.Errorf("numbers of a device's file: %w", err)
	}
	if _, err := fmt.Sscanf(text, "%d:%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("numbers of a device's file: %s/dev is %q: %w", entry, text, err)
	}
	return major, minor, nil
}
