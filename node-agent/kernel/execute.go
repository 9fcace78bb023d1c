package kernel

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Execute sends a route request that is answered by an acknowledgement alone, in the namespace of the calling thread. The
// library's own Execute registers a socket with the poller for each request, which costs as much as making a macvlan.
// The error is the kernel's errno.
func Execute(request *nl.NetlinkRequest) error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer unix.Close(socket) //nolint:errcheck // Nothing is left to be written.
	if err := unix.Sendto(socket, request.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send a netlink request: %w", err)
	}
	answer := make([]byte, unix.Getpagesize())
	size, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return fmt.Errorf("receive the answer to a netlink request: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:size])
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
