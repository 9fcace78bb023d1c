package kerneltest

import (
	"net"
	"os"
	"testing"
	"time"

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
	t    testing.TB
	file *os.File
}

// NewCapture begins to copy, until the end of the test.
func NewCapture(t testing.TB, ns *kernel.Namespace, iface string) *Capture {
	t.Helper()
	const everything = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	fd := packetSocket(t, ns, iface, everything)
	must(t, "room for captured frames", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	c := &Capture{t: t, file: os.NewFile(uintptr(fd), "capture:"+iface)}
	t.Cleanup(func() { _ = c.file.Close() })
	return c
}

// Frames returns those that have passed since the last call.
func (c *Capture) Frames() (frames [][]byte) {
	c.t.Helper()
	must(c.t, "end of the capture", c.file.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	for {
		buffer := make([]byte, 1<<16)
		n, err := c.file.Read(buffer)
		if err != nil {
			return frames
		}
		frames = append(frames, buffer[:n])
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
