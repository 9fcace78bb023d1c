package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Sys is a mount of sysfs. The zero value is /sys. A container that is not privileged has its own read only, and mounts
// that of the host elsewhere. Which network interfaces it shows is decided by the namespace of whoever mounted it.
type Sys string

// Path is where an entry is, such as "bus/pci/devices/0000:01:10.0".
func (s Sys) Path(entry string) string {
	root := string(s)
	if root == "" {
		root = "/sys"
	}
	return filepath.Join(root, entry)
}

// Read returns an attribute without the newline. The error is fs.ErrNotExist where there is none, or one of the kernel.
func (s Sys) Read(entry string) (string, error) {
	content, err := os.ReadFile(s.Path(entry))
	return strings.TrimSpace(string(content)), err
}

// Write sets an attribute by one system call, whose error tells what the driver thinks of the value. It may take as long
// as the driver's work does.
func (s Sys) Write(entry, value string) error {
	path := s.Path(entry)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // Nothing is left to be written.
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, path, err)
	}
	return nil
}

// Target is the last element of what a link points to, such as the name of a driver; "" where there is none.
func (s Sys) Target(entry string) (string, error) {
	target, err := os.Readlink(s.Path(entry))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return filepath.Base(target), nil
}

// List returns the names in a folder, none where there is none.
func (s Sys) List(entry string) (names []string, err error) {
	entries, err := os.ReadDir(s.Path(entry))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
