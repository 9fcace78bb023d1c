// Package kernel reaches network namespaces and netlink safely: whatever fails, no thread of the Go runtime is
// left in a foreign namespace, and no handle is left open.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNamespaceGone is returned where the path of a namespace exists no more, or is only the empty file that a
// runtime leaves between unmounting and removing it. For a detach that is success.
var ErrNamespaceGone = errors.New("the network namespace is gone")

// Namespace is an open network namespace with netlink in it.
type Namespace struct {
	path     string
	file     *os.File
	requests *requests
	handle   *netlink.Handle
	// control is a socket for ioctls, opened when it is first needed.
	control func() (*os.File, error)
}

// OpenNamespace opens the namespace at path, as container runtimes pin it. The error is ErrNamespaceGone or one of
// the kernel.
func OpenNamespace(path string) (*Namespace, error) {
	file, err := openNamespaceFile(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	n := newNamespace(path, file)
	if err := n.Do(n.openNetlink); err != nil {
		_ = n.Close()
		return nil, err
	}
	return n, nil
}

// Inside opens the namespace at path and runs f on a thread that is in it, as Do does: one way there and back for
// all that a short job needs. The namespace is closed when Inside returns. Its Handle is for f's own thread.
func Inside(path string, f func(*Namespace) error) error {
	file, err := openNamespaceFile(path)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	n := newNamespace(path, file)
	defer n.Close()
	return n.Do(func() error {
		if n.requests, err = openRequests(); err != nil {
			return fmt.Errorf("network namespace %s: %w", path, err)
		}
		return f(n)
	})
}

func newNamespace(path string, file *os.File) *Namespace {
	n := &Namespace{path: path, file: file}
	n.control = sync.OnceValues(n.openControl)
	return n
}

// openNetlink runs in the namespace, to which sockets belong for ever.
func (n *Namespace) openNetlink() (err error) {
	if n.requests, err = openRequests(); err != nil {
		return fmt.Errorf("network namespace %s: %w", n.path, err)
	}
	n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in %s: %w", n.path, err)
	}
	return nil
}

func openNamespaceFile(path string) (*os.File, error) {
	// os.Open would cost three times as much, since it tries to poll what it opens.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNamespaceGone
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	var stat unix.Statfs_t
	if err := unix.Fstatfs(fd, &stat); err != nil {
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
	if n.requests != nil {
		n.requests.close()
	}
	if n.handle != nil {
		n.handle.Close()
	}
	if err := n.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Handle is a netlink handle in the namespace, valid until Close. It works from any thread, except that of a namespace that
// Inside has opened: that one is opened when it is first needed, which saves most attaches a twentieth of their time.
func (n *Namespace) Handle() *netlink.Handle {
	if n.handle == nil {
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			// It opens a socket for each request, here where the thread is in the namespace; each tells why it cannot.
			handle = &netlink.Handle{}
		}
		n.handle = handle
	}
	return n.handle
}

// FD is the file descriptor of the namespace, valid until Close.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Path is the one that the namespace was opened by.
func (n *Namespace) Path() string { return n.path }
