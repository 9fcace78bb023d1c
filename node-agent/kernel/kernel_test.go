package kernel_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// current names the namespace of the calling thread.
func current(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDo(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	home := current(t)
	boom := errors.New("boom")
	var inside string
	err := ns.Do(func() error { inside = current(t); return boom })
	if inside == home || !errors.Is(err, boom) {
		t.Errorf("f ran in %s with error %v", inside, err)
	}
	if now := current(t); now != home {
		t.Errorf("the caller is in %s, want %s", now, home)
	}
	inner := kerneltest.Namespace(t, "other")
	var first, second, after string
	err = ns.Do(func() error {
		first = current(t)
		err := inner.Do(func() error { second = current(t); return nil })
		after = current(t)
		return err
	})
	if err != nil || first != inside || second == inside || second == home || after != inside {
		t.Errorf("outer %s, inner %s, outer again %s: %v", first, second, after, err)
	}
}

// Whatever f does, no other goroutine ever runs in the namespace afterwards.
func TestNoThreadIsLeftBehind(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	elsewhere := kerneltest.Namespace(t, "elsewhere")
	home := current(t)
	for name, f := range map[string]func() error{
		"returns":         func() error { return nil },
		"ends":            func() error { runtime.Goexit(); return nil },
		"goes elsewhere":  func() error { return unix.Setns(elsewhere.FD(), unix.CLONE_NEWNET) },
		"locks once more": func() error { runtime.LockOSThread(); return nil },
		"cannot return":   dropCapabilities,
	} {
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				err := ns.Do(f)
				if ended := name == "ends"; ended != (err != nil) {
					t.Errorf("%s: error %v", name, err)
				}
			})
		}
		group.Wait()
		for range 64 {
			group.Go(func() {
				if now := current(t); now != home {
					t.Errorf("%s: a goroutine runs in %s", name, now)
				}
			})
		}
		group.Wait()
	}
}

// dropCapabilities takes from the calling thread what it needs to enter a namespace.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

func TestInside(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, ns, "marker", ns, "other")
	var opened *kernel.Namespace
	err := kernel.Inside(ns.Path(), func(n *kernel.Namespace) error {
		opened = n
		_, err := n.Handle().LinkByName("marker")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Handle().LinkByName("marker"); err == nil {
		t.Error("the handle outlives Inside")
	}
	if err := opened.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestNamespaceGone(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), empty, dir} {
		_, err := kernel.OpenNamespace(path)
		if !errors.Is(err, kernel.ErrNamespaceGone) || !strings.Contains(err.Error(), path) {
			t.Errorf("open %s: %v", path, err)
		}
		err = kernel.Inside(path, func(*kernel.Namespace) error { t.Error("f was called"); return nil })
		if !errors.Is(err, kernel.ErrNamespaceGone) {
			t.Errorf("inside %s: %v", path, err)
		}
	}
}

// No file descriptor is left open, whatever happened.
func TestNothingStaysOpen(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	use := func() {
		_ = kernel.Inside(ns.Path(), func(*kernel.Namespace) error { return errors.New("boom") })
		_ = kernel.Inside(ns.Path(), func(n *kernel.Namespace) error { n.Handle(); return nil })
		_ = kernel.Inside(ns.Path(), func(*kernel.Namespace) error { runtime.Goexit(); return nil })
		_, _ = kernel.OpenNamespace(t.TempDir())
		if opened, err := kernel.OpenNamespace(ns.Path()); err == nil {
			_ = opened.Close()
		}
	}
	use()
	before := openFiles(t)
	for range 20 {
		use()
	}
	kerneltest.Eventually(t, "as many files are open as before", func() bool { return openFiles(t) <= before })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestInterface(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "node")
	kerneltest.Cable(t, ns, "eth1", ns, "far1")
	link, err := ns.Handle().LinkByName("eth1")
	if err != nil {
		t.Fatal(err)
	}
	index, mtu, err := ns.Interface("eth1")
	if err != nil || index != link.Attrs().Index || mtu != link.Attrs().MTU {
		t.Errorf("index %d, MTU %d, %v; want those of %+v", index, mtu, err, link.Attrs())
	}
	if _, _, err := ns.Interface("eth9"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("error %v, want ENODEV", err)
	}
	if _, _, err := ns.Interface("a-name-that-is-too-long"); err == nil {
		t.Error("no error")
	}
}

func TestSysctl(t *testing.T) {
	kerneltest.RequireRoot(t, "sysctls of network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	const key = "ipv4/conf/all/accept_source_route"
	// Another mount of procfs, as the container of the agent has one of the host.
	elsewhere := t.TempDir()
	if err := unix.Mount("proc", elsewhere, "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(elsewhere, unix.MNT_DETACH) })
	home, err := kernel.Proc("").ReadNet(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range []kernel.Proc{"", "/proc", kernel.Proc(elsewhere)} {
		for _, value := range []string{"1", "0"} {
			var got string
			err := ns.Do(func() (err error) {
				if err = proc.WriteNet(key, value); err == nil {
					got, err = proc.ReadNet(key)
				}
				return err
			})
			if err != nil || got != value {
				t.Errorf("%q: read %q, %v after writing %q", proc, got, err, value)
			}
		}
	}
	if now, _ := kernel.Proc("").ReadNet(key); now != home {
		t.Errorf("the sysctl of the process's own namespace changed from %q to %q", home, now)
	}
	err = kernel.Proc("").WriteNet("ipv4/absent", "1")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/proc/sys/net/ipv4/absent") {
		t.Errorf("error %v", err)
	}
	if err := ns.Do(func() error { return kernel.Proc("").WriteNet("ipv4/conf/all/forwarding", "many") }); err == nil {
		t.Error("no error for a value that the kernel refuses")
	}
}

func TestDump(t *testing.T) {
	calls := 0
	got, err := kernel.Dump(func() (int, error) {
		if calls++; calls < 3 {
			return 0, netlink.ErrDumpInterrupted
		}
		return 42, nil
	})
	if got != 42 || err != nil || calls != 3 {
		t.Errorf("got %d, %v after %d calls", got, err, calls)
	}
	calls = 0
	if _, err := kernel.Dump(func() (int, error) { calls++; return 0, netlink.ErrDumpInterrupted }); !errors.Is(err, netlink.ErrDumpInterrupted) || calls > 100 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	calls = 0
	if _, err := kernel.Dump(func() (int, error) { calls++; return 0, unix.EPERM }); !errors.Is(err, unix.EPERM) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}
