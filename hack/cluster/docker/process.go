package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process identifies a daemon that this tool started. A pid alone may since belong to another program, so
// the moment of its start is recorded with it.
type process struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // field 22 of /proc/<pid>/stat, ticks since boot
}

func currentProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	started, err := startTime(string(stat))
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return process{PID: pid, Started: started}, nil
}

// startTime counts fields from behind the name, which may contain spaces and brackets.
func startTime(stat string) (string, error) {
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	const startField = 22 - 3
	if !ok || len(fields) <= startField {
		return "", errors.New("unexpected form of /proc/<pid>/stat")
	}
	return fields[startField], nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// alive says whether exactly this process still runs.
func (p process) alive() bool {
	now, err := currentProcess(p.PID)
	return err == nil && now == p
}

// stop asks the process to end and waits until it has.
func (p process) stop(limit time.Duration) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	// Looked at again behind the open handle: from here on the pid cannot change its owner unnoticed.
	if !p.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stopping process %d: %w", p.PID, err)
	}
	return waitExit(fd, p.PID, limit)
}

func waitExit(fd, pid int, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for process %d: %w", pid, err)
		}
		if n == 0 {
			return fmt.Errorf("process %d did not end within %s", pid, limit)
		}
		return nil
	}
}

func readProcess(path string) (process, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return process{}, err
	}
	var p process
	if err := json.Unmarshal(data, &p); err != nil {
		return process{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return p, nil
}

func (p process) write(path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
