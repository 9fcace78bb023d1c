package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Boot runs a guest until it ends, by itself or with the context. Its command is the file "command" in the control folder,
// a script for busybox, and its console becomes a file there. QEMU runs with the libraries it was built with, whatever this
// machine has.
func (a Assets) Boot(ctx context.Context, g Guest, repository, control string) error {
	usr := filepath.Join(a.tree(), "usr")
	libraries := filepath.Join(usr, "lib", "x86_64-linux-gnu")
	args := []string{"--library-path", libraries, filepath.Join(usr, "bin", "qemu-system-x86_64")}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(libraries, "ld-linux-x86-64.so.2"), append(args, g.arguments(a, repository, control)...)...)
	cmd.Env = append(os.Environ(), "QEMU_MODULE_DIR="+filepath.Join(libraries, "qemu"))
	cmd.Stderr = &stderr
	// go test kills what runs too long for it with a signal that nobody catches.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("virtual machine: QEMU: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
