package kerneltest

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// TaggedFrame is a frame without its tag, and the 802.1p priority that stood there; -1 where there was no tag.
type TaggedFrame struct {
	Frame    []byte
	Priority int
}

// TagCapture is a Capture that sees VLAN tags, which the kernel keeps apart from the frame.
type TagCapture struct{ Capture }

// NewTagCapture begins to copy, until the end of the test.
func NewTagCapture(t testing.TB, ns *kernel.Namespace, iface string) *TagCapture {
	t.Helper()
	c := &TagCapture{*NewCapture(t, ns, iface)}
	must(t, "ask for tags", unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
	return c
}

// Frames returns those that have passed since the last call.
func (c *TagCapture) Frames() (frames []TaggedFrame) {
	c.t.Helper()
	for {
		frame, control := make([]byte, 1<<11), make([]byte, 1<<8)
		n, controlled, _, _, err := unix.Recvmsg(c.fd, frame, control, 0)
		if errors.Is(err, unix.EAGAIN) {
			return frames
		}
		must(c.t, "read captured frames", err)
		messages, err := unix.ParseSocketControlMessage(control[:controlled])
		must(c.t, "parse what comes with a frame", err)
		f := TaggedFrame{Frame: frame[:n], Priority: -1}
		for _, m := range messages {
			// struct tpacket_auxdata: the tag is at 16, and the status tells whether there is one.
			if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 18 &&
				binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
				f.Priority = int(binary.NativeEndian.Uint16(m.Data[16:]) >> 13)
			}
		}
		frames = append(frames, f)
	}
}
