package preflight

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Gather looks at the machine. What only the caller knows (Docker, image, workers) is left unset.
func Gather(state, cache string) (Facts, error) {
	f := Facts{OS: runtime.GOOS, Root: os.Geteuid() == 0, Go: found("go"), Dockerd: found("dockerd") && found("docker"),
		Apt: found("apt-get"), Mmdebstrap: found("mmdebstrap")}
	var err error
	if f.State, err = folder(state); err != nil {
		return Facts{}, err
	}
	if f.Cache, err = folder(cache); err != nil {
		return Facts{}, err
	}
	if f.MemoryMiB, err = availableMemory(); err != nil {
		return Facts{}, err
	}
	f.Inotify, err = number("/proc/sys/fs/inotify/max_user_instances")
	return f, err
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// folder asks the nearest parent that exists: the folder itself may be made later.
func folder(path string) (Folder, error) {
	for dir := path; ; dir = filepath.Dir(dir) {
		var s syscall.Statfs_t
		err := syscall.Statfs(dir, &s)
		if errors.Is(err, syscall.ENOENT) && dir != filepath.Dir(dir) {
			continue
		}
		if err != nil {
			return Folder{}, fmt.Errorf("asking for free space of %s: %w", dir, err)
		}
		return Folder{Path: path, FreeMiB: s.Bavail * uint64(s.Bsize) >> 20}, nil
	}
}

func availableMemory() (uint64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseAvailable(string(data))
}

func parseAvailable(meminfo string) (uint64, error) {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib >> 10, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemAvailable line")
}

func number(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}
