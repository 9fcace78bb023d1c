package kerneltest

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// BPFFS is a folder in a BPF file system of its own that ends with the test.
func BPFFS(t testing.TB) string {
	t.Helper()
	mount := t.TempDir()
	must(t, "mount a BPF file system", unix.Mount("bpf", mount, "bpf", 0, ""))
	t.Cleanup(func() { must(t, "unmount the BPF file system", unix.Unmount(mount, unix.MNT_DETACH)) })
	return filepath.Join(mount, "multinet")
}
