package plumb

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// A packet in pieces, of which the first does not tell its VNI, does not get around the guard.
func TestGuardSeesThroughFragments(t *testing.T) {
	g := newGuarded(t)
	const vni = 5000
	first := func(from *kernel.Namespace, datagram []byte, cut int) (text string) {
		drain(t, g.ours)
		for _, frame := range g.fragments(from, datagram, cut) {
			kerneltest.Send(t, from, "eth0", frame)
		}
		return read(t, g.ours)
	}
	// The kernel learns neighbours before it answers, which fragments by hand do not wait for.
	g.want("without a guard", g.stranger, g.nodeAddr6, "4789", vni, true)
	g.want("without a guard", g.member, g.nodeAddr6, "4789", vni, true)
	for _, cut := range []int{8, 16, 24} {
		if first(g.stranger, vxlanDatagram(vni, "a text that is long enough"), cut) == "" {
			t.Fatalf("without a guard, fragments of %d bytes are not put together", cut)
		}
	}
	g.ensure(Guard{VNI: vni, Port: 4789, Members: []netip.Addr{g.memberAddr6}})
	for _, cut := range []int{8, 16, 24} {
		if text := first(g.stranger, vxlanDatagram(vni, "a text that is long enough"), cut); text != "" {
			t.Errorf("%q of a stranger arrives in fragments, the first of %d bytes", text, cut)
		}
		if text := first(g.stranger, vxlanDatagram(5001, "a text that is long enough"), cut); (text != "") != (cut > 8) {
			t.Errorf("%q of another segment arrives in fragments, the first of %d bytes", text, cut)
		}
	}
	if first(g.member, vxlanDatagram(vni, "a text that is long enough"), 24) == "" {
		t.Error("fragments of a member that tell the VNI do not arrive")
	}
}

// fragments are the frames of an IPv6 packet to the node whose first fragment has cut bytes, the UDP header included.
func (g *guarded) fragments(from *kernel.Namespace, datagram []byte, cut int) (frames [][]byte) {
	source := g.memberAddr6
	if from == g.stranger {
		source = source.Next()
	}
	pseudo := append(append([]byte{}, source.AsSlice()...), netip.MustParseAddr(g.nodeAddr6).AsSlice()...)
	udp := binary.BigEndian.AppendUint16([]byte{0xc0, 0, 4789 >> 8, 4789 & 0xff}, uint16(8+len(datagram)))
	udp = append(append(udp, 0, 0), datagram...)
	sum := append(binary.BigEndian.AppendUint32(append([]byte{}, pseudo...), uint32(len(udp))), 0, 0, 0, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(udp[6:], internetChecksum(append(sum, udp...)))
	identification := time.Now().UnixNano()
	for offset := 0; offset < len(udp); offset += cut {
		part := udp[offset:min(offset+cut, len(udp))]
		header := binary.BigEndian.AppendUint16([]byte{unix.IPPROTO_UDP, 0}, uint16(offset))
		if offset+cut < len(udp) {
			header[3] |= 1
		}
		header = binary.BigEndian.AppendUint32(header, uint32(identification))
		frame := etherFrame(kerneltest.MAC(g.t, g.node, "eth0"), kerneltest.MAC(g.t, from, "eth0"), etherTypeIPv6)
		frame = binary.BigEndian.AppendUint16(append(frame, 0x60, 0, 0, 0), uint16(len(header)+len(part)))
		frame = append(append(frame, fragmentHeader, 64), pseudo...)
		frames = append(frames, append(append(frame, header...), part...))
	}
	return frames
}

func internetChecksum(data []byte) uint16 {
	var sum uint32
	for i, c := range data {
		sum += uint32(c) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
