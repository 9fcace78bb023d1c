package attach

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// packet is an IP packet that passed a node's NIC.
type packet struct {
	from, to   netip.Addr
	length     int
	fragmented bool
	protocol   byte
	payload    []byte
}

// readPacket returns false for frames that are not IP.
func readPacket(frame []byte) (p packet, ok bool) {
	const ether = 14
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		ip := frame[ether:]
		p.from, p.to = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
		p.length, p.protocol = int(binary.BigEndian.Uint16(ip[2:])), ip[9]
		p.fragmented = binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		p.payload = ip[int(ip[0]&15)*4:]
		return p, true
	case unix.ETH_P_IPV6:
		ip := frame[ether:]
		p.from, p.to = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
		p.length, p.protocol = 40+int(binary.BigEndian.Uint16(ip[4:])), ip[6]
		p.fragmented = ip[6] == 44
		p.payload = ip[40:]
		return p, true
	}
	return p, false
}

// innerFrame is what a VXLAN packet carries, nil for other packets.
func (p packet) innerFrame() []byte {
	const headers = 8 + 8
	if p.protocol != unix.IPPROTO_UDP || len(p.payload) < headers+14 || binary.BigEndian.Uint16(p.payload[2:]) != overlayPort {
		return nil
	}
	return p.payload[headers:]
}

// wantUnicastOnly fails for each captured frame that a pod caused and that is not for a pod that the node was told of. What
// the nodes ask each other about themselves is theirs.
func wantUnicastOnly(t *testing.T, frames [][]byte, own rackPod, told ...rackPod) (carried int) {
	t.Helper()
	for _, frame := range frames {
		if bytes.Equal(frame[6:12], own.plan.MAC) {
			t.Errorf("a frame of the pod is on the NIC itself: % x", frame[:min(len(frame), 60)])
		}
		p, ok := readPacket(frame)
		inner := p.innerFrame()
		if !ok || inner == nil {
			if ok && p.protocol != unix.IPPROTO_ICMPV6 && p.protocol != 0 {
				t.Errorf("a packet of protocol %d from %s to %s", p.protocol, p.from, p.to)
			}
			continue
		}
		carried++
		expected := func(pod rackPod) bool { return bytes.Equal(inner[:6], pod.plan.MAC) && p.to == pod.node.overlay.Local }
		incoming := bytes.Equal(inner[:6], own.plan.MAC) && p.to == own.node.overlay.Local
		if !incoming && !slices.ContainsFunc(told, expected) {
			t.Errorf("a frame to %s in a packet to %s", net.HardwareAddr(inner[:6]), p.to)
		}
		if kind := binary.BigEndian.Uint16(inner[12:]); kind == unix.ETH_P_ARP {
			t.Errorf("ARP leaves the node: % x", inner[:42])
		}
	}
	return carried
}

// noise is what a pod could send to find others, and to be found by them.
func noise(p rackPod) map[string][]byte {
	mac := net.HardwareAddr(p.plan.MAC)
	frame := func(to net.HardwareAddr, kind uint16, body []byte) []byte {
		return append(binary.BigEndian.AppendUint16(append(append([]byte{}, to...), mac...), kind), body...)
	}
	everybody := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	arp := func(target string) []byte {
		body := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac...)
		body = append(body, p.plan.Addresses[0].Addr().AsSlice()...)
		return append(append(body, 0, 0, 0, 0, 0, 0), netip.MustParseAddr(target).AsSlice()...)
	}
	ipv6 := func(next byte, to string, body []byte) []byte {
		header := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(body)))
		header = append(append(header, next, 255), p.plan.Addresses[1].Addr().AsSlice()...)
		return append(append(header, netip.MustParseAddr(to).AsSlice()...), body...)
	}
	solicitation := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr("fd00:50::99").AsSlice()...)
	ipv4 := append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 50, 0, 1, 10, 50, 0, 99}, make([]byte, 8)...)
	return map[string][]byte{
		"ARP for an unknown address":       frame(everybody, unix.ETH_P_ARP, arp("10.50.0.99")),
		"ARP announcement":                 frame(everybody, unix.ETH_P_ARP, arp("10.50.0.1")),
		"neighbour solicitation":           frame(net.HardwareAddr{0x33, 0x33, 0xff, 0, 0, 0x99}, unix.ETH_P_IPV6, ipv6(58, "ff02::1:ff00:99", solicitation)),
		"unsolicited advertisement":        frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, unix.ETH_P_IPV6, ipv6(58, "ff02::1", append([]byte{136}, make([]byte, 23)...))),
		"router solicitation":              frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}, unix.ETH_P_IPV6, ipv6(58, "ff02::2", []byte{133, 0, 0, 0, 0, 0, 0, 0})),
		"multicast listener report":        frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 0x16}, unix.ETH_P_IPV6, ipv6(58, "ff02::16", []byte{143, 0, 0, 0, 0, 0, 0, 0})),
		"IPv4 broadcast":                   frame(everybody, unix.ETH_P_IP, ipv4),
		"IPv4 multicast":                   frame(net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, unix.ETH_P_IP, ipv4),
		"a MAC that nobody has":            frame(net.HardwareAddr{2, 0, 0, 9, 9, 9}, unix.ETH_P_IP, ipv4),
		"a protocol that nobody speaks":    frame(everybody, 0x88b5, make([]byte, 50)),
		"a discovery protocol of switches": frame(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0xe}, 0x88cc, make([]byte, 50)),
	}
}

// Whatever a pod does to find others, only packets to pods that the node was told of leave it.
func TestNothingElseLeaves(t *testing.T) {
	for _, first := range underlays {
		r := newRack(t, first, 3)
		r.guard(0, 1, 2)
		capture := kerneltest.NewCapture(t, r.nodes[0].Namespace, "eth0")
		a, b := r.pod(r.nodes[0], 1), r.pod(r.nodes[1], 2)
		r.must(a.node.attacher.Announce(t.Context(), a.Path(), []plan.Attachment{a.plan}))
		for _, frame := range noise(a) {
			kerneltest.Send(t, a.Namespace, "net1", frame)
		}
		for _, unknown := range []string{"10.50.0.98:9", "[fd00:50::98]:9"} {
			send(t, dial(t, a.Namespace, unknown), "anybody there?")
		}
		// What the kernel sends by itself has been sent by the time that both addresses of the other pod answer.
		r.reaches(a, b)
		r.reaches(b, a)
		if carried := wantUnicastOnly(t, capture.Frames(), a, b); carried < 4 {
			t.Errorf("only %d packets between the pods were captured", carried)
		}
	}
}

// A packet of full size is one packet between the nodes, and a larger one is refused to the pod.
func TestFullSizePackets(t *testing.T) {
	for i, first := range underlays {
		r := newRack(t, first, 2)
		a, b := r.pod(r.nodes[0], 1), r.pod(r.nodes[1], 2)
		capture := kerneltest.NewCapture(t, r.nodes[0].Namespace, "eth0")
		mtu := []int{1450, 1430}[i]
		for _, address := range b.plan.Addresses {
			at := netip.AddrPortFrom(address.Addr(), 7000).String()
			headers, level, option := 28, unix.SOL_IP, unix.IP_MTU_DISCOVER
			if address.Addr().Is6() {
				headers, level, option = 48, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER
			}
			listener, sender := listen(t, b.Namespace, at), dial(t, a.Namespace, at)
			full := strings.Repeat("x", mtu-headers)
			kerneltest.Eventually(t, "a packet of full size arrives", func() bool { send(t, sender, full); return receive(t, listener) != "" })
			raw, err := sender.(*net.UDPConn).SyscallConn()
			r.must(err)
			r.must(raw.Control(func(fd uintptr) {
				r.must(unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_DO))
			}))
			if _, err := sender.Write([]byte(full + "x")); err == nil {
				t.Errorf("a packet of %d bytes is sent to %s", mtu+1, address)
			}
		}
		largest := 0
		for _, frame := range capture.Frames() {
			p, _ := readPacket(frame)
			if p.fragmented {
				t.Errorf("a packet from %s to %s is fragmented", p.from, p.to)
			}
			largest = max(largest, p.length)
		}
		if largest != 1500 {
			t.Errorf("the largest packet between the nodes has %d bytes, want 1500", largest)
		}
	}
}

// A frame that a machine puts into an overlay reaches a pod if that machine is a member, and not otherwise.
func TestForgedPackets(t *testing.T) {
	for _, first := range underlays {
		r := newRack(t, first, 3)
		r.guard(0, 1)
		a := r.pod(r.nodes[0], 1)
		listener := listen(t, a.Namespace, "10.50.0.1:7000")
		to := netip.AddrPortFrom(a.node.overlay.Local, overlayPort).String()
		stranger, member := dial(t, r.nodes[2].Namespace, to), dial(t, r.nodes[1].Namespace, to)
		kerneltest.Eventually(t, "the member's packet arrives", func() bool {
			// The stranger's goes first each time, so that it would be the first to arrive.
			send(t, stranger, forged(a, "stranger"))
			send(t, member, forged(a, "member"))
			text := receive(t, listener)
			if text == "stranger" {
				t.Fatal("a packet of a machine that is no member reached the pod")
			}
			return text == "member"
		})
		r.must(plumb.EnsureGuards(a.node.Namespace, nil))
		kerneltest.Eventually(t, "without the guard the stranger's arrives", func() bool {
			send(t, stranger, forged(a, "stranger"))
			return receive(t, listener) == "stranger"
		})
	}
}

// forged is a VXLAN datagram with a datagram to port 7000 of the pod in it.
func forged(p rackPod, text string) string {
	vxlan := []byte{8, 0, 0, 0, 0, 5000 >> 8, 5000 & 0xff, 0}
	frame := append(append([]byte{}, p.plan.MAC...), 2, 0, 0, 9, 9, 9, 8, 0)
	udp := binary.BigEndian.AppendUint16([]byte{0x1b, 0x58, 0x1b, 0x58}, uint16(8+len(text)))
	udp = append(append(udp, 0, 0), text...)
	ip := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(udp)))
	ip = append(ip, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 50, 0, 99)
	ip = append(ip, p.plan.Addresses[0].Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return fmt.Sprintf("%s%s%s%s", vxlan, frame, ip, udp)
}
