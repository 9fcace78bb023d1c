package traffic

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// softirqThread returns the folder of a CPU's ksoftirqd in procfs, "" where the process does not see the kernel's threads.
func softirqThread(cpu int) (string, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		// A process that has ended meanwhile is not the one.
		comm, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(comm)) == fmt.Sprintf("ksoftirqd/%d", cpu) {
			return filepath.Dir(name), nil
		}
	}
	return "", nil
}

// softirqTime is how long ksoftirqd has run.
func (p *Packets) softirqTime() (ran time.Duration, err error) {
	if p.softirqs == "" {
		return 0, nil
	}
	path := filepath.Join(p.softirqs, "schedstat")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(string(text), &ran); err != nil {
		return 0, fmt.Errorf("parse %s: %w", path, err)
	}
	return ran, nil
}
