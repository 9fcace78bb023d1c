package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// errEnded is what wait returns for a daemon that is no more.
var errEnded = errors.New("dockerd has ended")

// waitForRunning finds a daemon of an earlier run. One that is just ending is none.
func (d Daemon) waitForRunning(ctx context.Context) (bool, error) {
	p, err := readProcess(d.path("daemon.json"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = d.wait(ctx, p)
	if errors.Is(err, errEnded) {
		return false, nil
	}
	return err == nil, err
}

// wait returns when the daemon answers, or with the end of its log when it ended or took too long.
func (d Daemon) wait(ctx context.Context, p process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		if !p.alive() {
			return fmt.Errorf("%w; its log %s ends with:\n%s", errEnded, d.path("daemon.log"), d.logEnd())
		}
		if d.Client().Works(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %w; its log %s ends with:\n%s", ctx.Err(), d.path("daemon.log"), d.logEnd())
		case <-ticker.C:
		}
	}
}

func (d Daemon) logEnd() string {
	data, err := os.ReadFile(d.path("daemon.log"))
	if err != nil {
		return err.Error()
	}
	const enough = 1500
	return string(data[max(0, len(data)-enough):])
}
