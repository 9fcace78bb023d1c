package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit is the status of a command that ran to its end and failed.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Runner runs commands in guests.
type Runner struct {
	Assets     Assets
	Repository string        // at /repository in the guest
	Limit      time.Duration // for the whole life of a guest
	Stdout     io.Writer
}

// Run runs a command in a new guest. A program with a path is copied into it and so must be static. The command starts in
// the folder of the repository that dir is, with the given environment. Its output is written when the guest has ended.
func (r Runner) Run(ctx context.Context, g Guest, dir string, env, args []string) error {
	err := r.try(ctx, g, dir, env, args)
	if aborted(err) || errors.Is(err, errNotBegun) {
		r.Assets.Log.Note("once more: %v", err)
		err = r.try(ctx, g, dir, env, args)
	}
	return err
}

// errNotBegun tells of a guest that came to nothing: emulated, a busy machine can make it panic while it boots.
var errNotBegun = errors.New("it stopped before the command had begun")

// aborted tells whether QEMU's emulation did so, which it does about once in sixty boots.
func aborted(err error) bool {
	var failed *exec.ExitError
	return errors.As(err, &failed) && failed.Sys().(syscall.WaitStatus).Signal() == syscall.SIGABRT
}

func (r Runner) try(ctx context.Context, g Guest, dir string, env, args []string) error {
	control, err := os.MkdirTemp("", "multinet-vm-")
	if err != nil {
		return fmt.Errorf("making the control folder: %w", err)
	}
	defer os.RemoveAll(control)
	if err := prepare(control, r.Repository, dir, env, args); err != nil {
		return fmt.Errorf("preparing the guest's command: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.Limit, fmt.Errorf("it did not end within %s", r.Limit))
	defer cancel()
	err = r.Assets.Boot(ctx, g, r.Repository, control)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		// Without its output, which would come twice.
		return err
	}
	output, outputErr := os.ReadFile(filepath.Join(control, "output"))
	if err == nil && errors.Is(outputErr, os.ErrNotExist) {
		return fmt.Errorf("virtual machine: %w\n%s", errNotBegun, ConsoleTail(control))
	}
	if _, err := r.Stdout.Write(output); err != nil {
		return fmt.Errorf("passing on the guest's output: %w", err)
	}
	return result(control, err)
}

// result is the command's, unless the guest has not come so far.
func result(control string, guest error) error {
	status, err := os.ReadFile(filepath.Join(control, "status"))
	if guest == nil && errors.Is(err, os.ErrNotExist) {
		guest = errors.New("it stopped before the command had ended")
	}
	if guest != nil {
		return fmt.Errorf("virtual machine: %w\n%s", guest, ConsoleTail(control))
	}
	if err != nil {
		return err
	}
	code, err := strconv.Atoi(strings.TrimSpace(string(status)))
	if err != nil {
		return fmt.Errorf("reading the command's exit status: %w", err)
	}
	if code != 0 {
		return Exit(code)
	}
	return nil
}

// ConsoleTail is for the case that the guest came to nothing.
func ConsoleTail(control string) string {
	text, err := os.ReadFile(filepath.Join(control, "console"))
	if err != nil {
		return "it has no console: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "the end of its console:\n  " + strings.Join(lines[max(0, len(lines)-50):], "\n  ")
}
