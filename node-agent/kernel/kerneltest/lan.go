package kerneltest

import (
	"errors"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// LAN connects machines by one Ethernet segment: each gets an interface of the name on it, up.
func LAN(t testing.TB, name string, machines ...*kernel.Namespace) {
	t.Helper()
	cabinet := Namespace(t, "switch")
	Cable(t, cabinet, "trunk", cabinet, "end")
	for _, machine := range machines {
		Macvlan(t, cabinet, "trunk", machine, name)
		Eventually(t, name+" carries", func() bool { return carries(machine, name) })
	}
}

// Capture holds copies of all frames that pass an interface in both directions.
type Capture struct {
	t  testing.TB
	fd int
}

// NewCapture begins to copy, until the end of the test.
func NewCapture(t testing.TB, ns *kernel.Namespace, iface string) *Capture {
	t.Helper()
	const everything = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	fd := packetSocket(t, ns, iface, everything)
	must(t, "room for captured frames", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	t.Cleanup(func() { _ = unix.Close(fd) })
	return &Capture{t: t, fd: fd}
}

// Frames returns those that have passed since the last call.
func (c *Capture) Frames() (frames [][]byte) {
	c.t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(c.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return frames
		}
		must(c.t, "read captured frames", err)
		frames = append(frames, slices.Clone(buffer[:n]))
	}
}

// Send puts a frame onto an interface as it is.
func Send(t testing.TB, ns *kernel.Namespace, iface string, frame []byte) {
	t.Helper()
	fd := packetSocket(t, ns, iface, 0)
	defer unix.Close(fd) //nolint:errcheck // Nothing is left to be written.
	_, err := unix.Write(fd, frame)
	must(t, "send a frame on "+iface, err)
}

func packetSocket(t testing.TB, ns *kernel.Namespace, iface string, protocol uint16) (fd int) {
	t.Helper()
	index := link(t, ns, iface).Attrs().Index
	Inside(t, ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: protocol})
	})
	return fd
}

// MAC of an interface.
func MAC(t testing.TB, ns *kernel.Namespace, iface string) net.HardwareAddr {
	t.Helper()
	return link(t, ns, iface).Attrs().HardwareAddr
}

// SetMTU of an interface.
func SetMTU(t testing.TB, ns *kernel.Namespace, iface string, mtu int) {
	t.Helper()
	must(t, "set the MTU of "+iface, ns.Handle().LinkSetMTU(link(t, ns, iface), mtu))
}

// GSOMaxSize is how much an interface takes at once.
func GSOMaxSize(t testing.TB, ns *kernel.Namespace, iface string) uint32 {
	t.Helper()
	return link(t, ns, iface).Attrs().GSOMaxSize
}
