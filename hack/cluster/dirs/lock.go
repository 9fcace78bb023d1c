package dirs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Lock is held by one run at a time; the kernel releases it when its process ends, however it ends.
type Lock struct{ file *os.File }

// Acquire takes the lock of a folder, making the folder. Who holds it otherwise is in the error.
func Acquire(folder string) (*Lock, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("making folder for lock: %w", err)
	}
	path := filepath.Join(folder, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(held(path), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	if err := record(file); err != nil {
		return nil, errors.Join(fmt.Errorf("writing process id to %s: %w", path, err), file.Close())
	}
	return &Lock{file}, nil
}

// Release lets the next run go on.
func (l *Lock) Release() error { return l.file.Close() }

func record(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func held(path string) error {
	pid := "unknown"
	if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
		pid = strings.TrimSpace(string(data))
	}
	return fmt.Errorf("another run of this tool (process %s) holds %s: wait until it has ended", pid, path)
}
