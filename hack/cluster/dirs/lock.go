package dirs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lock is held by one run at a time; the kernel releases it when its process ends, however it ends.
type Lock struct{ file *os.File }

// Acquire takes the lock of a folder, making the folder. While another run holds it, Acquire waits up to
// limit, after telling note once who that is.
func Acquire(ctx context.Context, folder string, limit time.Duration, note func(format string, args ...any)) (*Lock, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("making folder for lock: %w", err)
	}
	path := filepath.Join(folder, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := wait(ctx, file, limit, note); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := record(file); err != nil {
		return nil, errors.Join(fmt.Errorf("writing process id to %s: %w", path, err), file.Close())
	}
	return &Lock{file}, nil
}

// wait asks again at intervals: a blocking flock could not be interrupted.
func wait(ctx context.Context, file *os.File, limit time.Duration, note func(string, ...any)) error {
	deadline := time.Now().Add(limit)
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for told := false; ; told = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("another run of this tool (process %s) holds %s: wait until it has ended", holder(file), file.Name())
		}
		if !told {
			note("another run of this tool (process %s) is at work: waiting for it", holder(file))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", file.Name(), context.Cause(ctx))
		case <-ticker.C:
		}
	}
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

func holder(file *os.File) string {
	data, err := os.ReadFile(file.Name())
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}
