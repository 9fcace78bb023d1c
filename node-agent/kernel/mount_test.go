package kernel_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// What is done in another mount namespace is seen there, by programs that are started there too, and nowhere else.
func TestInMountNamespace(t *testing.T) {
	kerneltest.RequireRoot(t, "mount namespaces")
	other := exec.CommandContext(t.Context(), "sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	path, dir := fmt.Sprintf("/proc/%d/ns/mnt", other.Process.Pid), t.TempDir()
	file := filepath.Join(dir, "file")
	err := kernel.InMountNamespace(path, func() error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		return os.WriteFile(file, []byte("there"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("seen in the namespace of the process: %v", err)
	}
	var seen []byte
	err = kernel.InMountNamespace(path, func() (err error) { seen, err = exec.CommandContext(t.Context(), "cat", file).Output(); return err })
	if err != nil || string(seen) != "there" {
		t.Errorf("%q, %v", seen, err)
	}
	if err := kernel.InMountNamespace(path, func() error { return errors.New("of f") }); err == nil || err.Error() != "of f" {
		t.Error(err)
	}
	if err := kernel.InMountNamespace(filepath.Join(dir, "none"), func() error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := kernel.InMountNamespace("/proc/self/ns/net", func() error { return nil }); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}
