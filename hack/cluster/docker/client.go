// Package docker talks to Docker through its command line client, and starts a daemon where none works.
package docker

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// HostVariable tells Docker's client, and kind through it, which daemon to talk to.
const HostVariable = "DOCKER_HOST"

// Client runs docker commands against one daemon.
type Client struct {
	Host string // empty: whatever the user's environment says
}

func (c Client) command(args ...string) command.Cmd {
	cmd := command.New("docker", args...)
	if c.Host != "" {
		cmd.Env = []string{HostVariable + "=" + c.Host}
	}
	return cmd
}

// Run runs docker with args and returns its output without surrounding space.
func (c Client) Run(ctx context.Context, args ...string) (string, error) {
	out, err := c.command(args...).Run(ctx)
	return strings.TrimSpace(out), err
}

// Lines is Run for commands that print one thing per line.
func (c Client) Lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := c.Run(ctx, args...)
	return strings.Fields(out), err
}

// Pipe is Run with something on the standard input.
func (c Client) Pipe(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := c.command(args...)
	cmd.Stdin = stdin
	out, err := cmd.Run(ctx)
	return strings.TrimSpace(out), err
}

// Works says whether a daemon answers; a socket that nobody serves can hang, hence the limit.
func (c Client) Works(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := c.Run(ctx, "info", "--format", "{{.ServerVersion}}")
	return err == nil && version != ""
}

// HasImage says whether the daemon has an image of that name.
func (c Client) HasImage(ctx context.Context, image string) (bool, error) {
	found, err := c.Lines(ctx, "images", "--quiet", "--filter", "reference="+image)
	if err != nil {
		return false, fmt.Errorf("looking for image %s: %w", image, err)
	}
	return len(found) > 0, nil
}
