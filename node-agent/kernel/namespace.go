// Package kernel reaches network namespaces and netlink safely: whatever fails, no thread of the Go runtime is
// left in a foreign namespace, and no handle is left open.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNamespaceGone is returned where the path of a namespace exists no more, or is only the empty file that a
// runtime leaves between unmounting and removing it. For a detach that is success.
var ErrNamespaceGone = errors.New("the network namespace is gone")

// Namespace is an open network namespace with a netlink handle in it. The handle works from any thread.
type Namespace struct {
	path   string
	file   *os.File
	handle *netlink.Handle
}

// ownNamespace is that of the calling thread. /proc/self would be that of the main thread, which may just be inside Do.
const ownNamespace = "/proc/thread-self/ns/net"

// home is the namespace of the process, in which all threads are that are not inside Do.
var home = sync.OnceValues(func() (*os.File, error) { return os.Open(ownNamespace) })

// OpenNamespace opens the namespace at path, as container runtimes pin it. The error is ErrNamespaceGone or one of
// the kernel.
func OpenNamespace(path string) (*Namespace, error) {
	file, err := openNamespaceFile(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	handle, err := netlink.NewHandleAt(netns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return &Namespace{path: path, file: file, handle: handle}, nil
}

func openNamespaceFile(path string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNamespaceGone
	}
	if err != nil {
		return nil, err
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &stat); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if stat.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(ErrNamespaceGone, file.Close())
	}
	return file, nil
}

// OpenNode opens the namespace of the process itself. It is not for use inside Do.
func OpenNode() (*Namespace, error) { return OpenNamespace(ownNamespace) }

// Close may be called more than once.
func (n *Namespace) Close() error {
	n.handle.Close()
	if err := n.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Handle is a netlink handle in the namespace, valid until Close.
func (n *Namespace) Handle() *netlink.Handle { return n.handle }

// FD is the file descriptor of the namespace, valid until Close.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Path is the one that the namespace was opened by.
func (n *Namespace) Path() string { return n.path }

// Do runs f on a thread of its own that is in the namespace, and waits for it. f starts no goroutine that needs
// the namespace. Do does not nest: an inner Do works, but returns to the process's namespace.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := fmt.Errorf("work in network namespace %s did not come to its end", n.path)
		defer func() { result <- err }() // even where f ends the goroutine
		err = n.enter(f)
	}()
	return <-result
}

// enter unlocks the thread only if the way back succeeded; the runtime ends a thread whose goroutine is still
// locked to it, so that no other goroutine ever runs in the wrong namespace.
func (n *Namespace) enter(f func() error) error {
	back, err := home()
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", n.path, err)
	}
	err = f()
	if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
