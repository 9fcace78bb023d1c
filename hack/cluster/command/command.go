// Package command runs other programs and turns their failure into one readable error.
package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Cmd is one run of a program. The zero value of each optional field means "as the tool itself".
type Cmd struct {
	Name  string
	Args  []string
	Dir   string
	Env   []string // added to the tool's own environment
	Stdin io.Reader
}

// New describes a run of name with args.
func New(name string, args ...string) Cmd { return Cmd{Name: name, Args: args} }

// Run runs the program and returns what it wrote to its standard output.
func (c Cmd) Run(ctx context.Context) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Dir, c.Stdin, &stdout, &stderr
	cmd.Env = append(os.Environ(), c.Env...)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("%s: %w%s", c.title(), err, reason(stderr.String()))
	}
	return stdout.String(), nil
}

// title names the command in an error without its long tail of arguments.
func (c Cmd) title() string {
	words := append([]string{c.Name}, c.Args...)
	const enough = 6
	if len(words) > enough {
		words = append(words[:enough:enough], "…")
	}
	return strings.Join(words, " ")
}

// reason keeps the end of what a program complained about: that is where the cause stands.
func reason(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	const enough = 8
	if len(lines) > enough {
		lines = lines[len(lines)-enough:]
	}
	text := strings.Join(lines, "\n")
	if text == "" {
		return ""
	}
	return ": " + text
}
