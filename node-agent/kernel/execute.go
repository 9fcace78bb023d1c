package kernel

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// requests is a plain socket for route requests that are answered by an acknowledgement alone. The library's sockets are
// registered with the poller, which every answer wakes: an attach takes a twentieth longer with them.
type requests struct {
	mu     sync.Mutex
	socket int
	answer [4096]byte
}

// openRequests opens a socket in the namespace of the calling thread.
func openRequests() (*requests, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &requests{socket: socket}, nil
}

// close may be called more than once.
func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.socket >= 0 {
		_ = unix.Close(r.socket)
		r.socket = -1
	}
}

// Execute sends a route request that is answered by an acknowledgement alone, in the namespace, from any thread. The error is
// the kernel's errno.
func (n *Namespace) Execute(request *nl.NetlinkRequest) error { return n.requests.execute(request) }

// Execute is Namespace.Execute in the namespace of the calling thread.
func Execute(request *nl.NetlinkRequest) error {
	r, err := openRequests()
	if err != nil {
		return err
	}
	defer r.close()
	return r.execute(request)
}

func (r *requests) execute(request *nl.NetlinkRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := unix.Sendto(r.socket, request.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send a netlink request: %w", err)
	}
	size, _, err := unix.Recvfrom(r.socket, r.answer[:], 0)
	if err != nil {
		return fmt.Errorf("receive the answer to a netlink request: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(r.answer[:size])
	if err != nil {
		return fmt.Errorf("parse the answer to a netlink request: %w", err)
	}
	return acknowledged(messages, request.Seq)
}

func acknowledged(messages []syscall.NetlinkMessage, seq uint32) error {
	for _, m := range messages {
		if m.Header.Seq != seq || m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
			continue
		}
		if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
			return unix.Errno(errno)
		}
		return nil
	}
	return fmt.Errorf("the kernel did not acknowledge netlink request %d", seq)
}
