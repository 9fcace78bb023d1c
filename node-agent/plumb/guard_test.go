package plumb

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// guarded is a node that listens on two ports, and two machines that send to it.
type guarded struct {
	t                        testing.TB
	node, member, stranger   *kernel.Namespace
	ours, elsewhere          net.PacketConn
	nodeAddr4, nodeAddr6     string
	memberAddr4, memberAddr6 netip.Addr
}

func newGuarded(t *testing.T) *guarded {
	kerneltest.RequireRoot(t, "nftables in network namespaces")
	g := &guarded{t: t, nodeAddr4: "192.168.7.1", nodeAddr6: "fd00:7::1",
		memberAddr4: netip.MustParseAddr("192.168.7.2"), memberAddr6: netip.MustParseAddr("fd00:7::2"),
		node: kerneltest.Namespace(t, "node"), member: kerneltest.Namespace(t, "member"), stranger: kerneltest.Namespace(t, "stranger")}
	kerneltest.LAN(t, "eth0", g.node, g.member, g.stranger)
	for i, machine := range []*kernel.Namespace{g.node, g.member, g.stranger} {
		kerneltest.Address(t, machine, "eth0", "192.168.7."+string(rune('1'+i))+"/24")
		kerneltest.Address(t, machine, "eth0", "fd00:7::"+string(rune('1'+i))+"/64")
	}
	g.ours, g.elsewhere = listen(t, g.node, "[::]:4789"), listen(t, g.node, "[::]:8472")
	return g
}

func (g *guarded) ensure(guards ...Guard) {
	g.t.Helper()
	if err := EnsureGuards(g.node, guards); err != nil {
		g.t.Fatal(err)
	}
}

// vxlanDatagram has a VNI, and a text in the place of a frame.
func vxlanDatagram(vni uint32, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, vni<<8), text...)
}

// arrives reports whether a datagram reaches the node. A second one, which no guard is about, is sent after it and tells
// that the first would be there by now.
func (g *guarded) arrives(from *kernel.Namespace, to string, port string, vni uint32) bool {
	g.t.Helper()
	receiver := g.ours
	if port != "4789" {
		receiver = g.elsewhere
	}
	drain(g.t, receiver)
	sender := dial(g.t, from, net.JoinHostPort(to, port))
	defer sender.Close() //nolint:errcheck // It only sends.
	arrived := false
	kerneltest.Eventually(g.t, "a datagram that no guard is about arrives", func() bool {
		write(g.t, sender, vxlanDatagram(vni, "asked"))
		write(g.t, sender, []byte("marker"))
		for text := read(g.t, receiver); text != ""; text = read(g.t, receiver) {
			if text == "marker" {
				return true
			}
			arrived = true
		}
		return false
	})
	return arrived
}

func (g *guarded) want(what string, from *kernel.Namespace, to, port string, vni uint32, want bool) {
	g.t.Helper()
	if got := g.arrives(from, to, port, vni); got != want {
		g.t.Errorf("%s: VNI %d on port %s to %s arrives: %v, want %v", what, vni, port, to, got, want)
	}
}

// Only members send into our segments, and other segments, ports and programs are none of our business.
func TestGuard(t *testing.T) {
	g := newGuarded(t)
	for _, to := range []string{g.nodeAddr4, g.nodeAddr6} {
		g.want("without a guard", g.stranger, to, "4789", 5000, true)
	}
	g.ensure(Guard{VNI: 5000, Port: 4789, Members: []netip.Addr{g.memberAddr4, g.memberAddr6}}, Guard{VNI: 6000, Port: 4789})
	for _, to := range []string{g.nodeAddr4, g.nodeAddr6} {
		g.want("a member", g.member, to, "4789", 5000, true)
		g.want("a stranger", g.stranger, to, "4789", 5000, false)
		g.want("a member of another segment", g.member, to, "4789", 6000, false)
		g.want("a segment of others", g.stranger, to, "4789", 5001, true)
		g.want("a VNI that differs in its first byte", g.stranger, to, "4789", 5000|1<<16, true)
		g.want("another port", g.stranger, to, "8472", 5000, true)
	}
	if err := UpdateGuard(g.node, 5000, nil, []netip.Addr{g.memberAddr4, netip.MustParseAddr("192.168.7.77")}); err != nil {
		t.Fatal(err)
	}
	g.want("no member any more", g.member, g.nodeAddr4, "4789", 5000, false)
	g.want("a member still", g.member, g.nodeAddr6, "4789", 5000, true)
	if err := UpdateGuard(g.node, 6000, []netip.Addr{g.memberAddr4, g.memberAddr6}, nil); err != nil {
		t.Fatal(err)
	}
	g.want("a new member", g.member, g.nodeAddr4, "4789", 6000, true)
	g.want("a member of one segment alone", g.member, g.nodeAddr4, "4789", 5000, false)
	g.want("a stranger", g.stranger, g.nodeAddr4, "4789", 6000, false)
	g.ensure()
	g.want("the last guard is gone", g.stranger, g.nodeAddr4, "4789", 5000, true)
}

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

// The table is replaced only where it is not right, whatever somebody did to it, and tables of others stay.
func TestEnsureGuardsRepairs(t *testing.T) {
	g := newGuarded(t)
	conn, err := nftables.New(nftables.WithNetNSFd(g.node.FD()))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet}
	chain := conn.AddChain(&nftables.Chain{Table: conn.AddTable(foreign), Name: "input"})
	conn.AddRule(&nftables.Rule{Table: foreign, Chain: chain, Exprs: firstFragment()})
	flush := func() {
		t.Helper()
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	table := guardTableRef()
	// dropped is what the rules have counted; a new table has counted nothing.
	dropped := func() (packets uint64) {
		t.Helper()
		rules, err := conn.GetRules(table, &nftables.Chain{Table: table, Name: guardChain})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					packets += counter.Packets
				}
			}
		}
		return packets
	}
	guards := []Guard{{VNI: 5000, Port: 4789, Members: []netip.Addr{g.memberAddr4, g.memberAddr6}}}
	g.ensure(guards...)
	g.want("before", g.stranger, g.nodeAddr4, "4789", 5000, false)
	for name, harm := range map[string]func(){
		"nothing":           func() {},
		"the table is gone": func() { conn.DelTable(table) },
		"no rule is left": func() {
			conn.FlushChain(&nftables.Chain{Table: table, Name: guardChain})
		},
		"a set is empty": func() { conn.FlushSet(newGuardSets(table).segments) },
		"somebody added a member": func() {
			extra := newGuardElements([]Guard{{VNI: 5000, Members: []netip.Addr{g.memberAddr4.Next()}}})
			if err := addElements(conn, newGuardSets(table).members4, extra.members4); err != nil {
				t.Fatal(err)
			}
		},
		"somebody added a rule": func() {
			c := &nftables.Chain{Table: table, Name: guardChain}
			conn.InsertRule(&nftables.Rule{Table: table, Chain: c, Exprs: firstFragment()})
		},
	} {
		harm()
		flush()
		g.ensure(guards...)
		if kept := dropped() > 0; kept != (name == "nothing") {
			t.Errorf("%s: the table was kept: %v", name, kept)
		}
		g.want(name, g.member, g.nodeAddr4, "4789", 5000, true)
		g.want(name, g.stranger, g.nodeAddr4, "4789", 5000, false)
	}
	g.ensure()
	if rules, err := conn.GetRules(foreign, chain); err != nil || len(rules) != 1 {
		t.Errorf("rules of the other table %v, %v", rules, err)
	}
	g.ensure()
	if _, found, _, err := readGuards(conn); found || err != nil {
		t.Error("the table is still there")
	}
	if err := UpdateGuard(g.node, 5000, []netip.Addr{g.memberAddr4}, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("update without a table: %v, want ENOENT", err)
	}
}

// Ten thousand members are one transaction.
func TestManyMembers(t *testing.T) {
	g := newGuarded(t)
	var members []netip.Addr
	for a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:1::1"); len(members) < 10000; a, b = a.Next(), b.Next() {
		members = append(members, a, b)
	}
	many := []Guard{{VNI: 5000, Port: 4789, Members: members}, {VNI: 6000, Port: 4789, Members: members[:1000]}}
	g.ensure(many...)
	g.want("ten thousand members", g.stranger, g.nodeAddr4, "4789", 5000, false)
	if err := UpdateGuard(g.node, 5000, []netip.Addr{g.memberAddr4}, members); err != nil {
		t.Fatal(err)
	}
	g.want("one member", g.member, g.nodeAddr4, "4789", 5000, true)
	g.want("one member", g.stranger, g.nodeAddr4, "4789", 5000, false)
}

func TestExplainGuard(t *testing.T) {
	for _, missing := range []error{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP} {
		if err := explainGuard(missing); !errors.Is(err, ErrNoGuardSupport) {
			t.Errorf("error %v of a kernel without nftables", err)
		}
	}
	if err := explainGuard(unix.EPERM); !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v", err)
	}
	if err := explainGuard(nil); err != nil {
		t.Errorf("error %v", err)
	}
}

func listen(t testing.TB, ns *kernel.Namespace, address string) (conn net.PacketConn) {
	t.Helper()
	kerneltest.Inside(t, ns, func() (err error) { conn, err = net.ListenPacket("udp", address); return err })
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func dial(t testing.TB, ns *kernel.Namespace, address string) (conn net.Conn) {
	t.Helper()
	kerneltest.Inside(t, ns, func() (err error) { conn, err = net.Dial("udp", address); return err })
	return conn
}

func write(t testing.TB, conn net.Conn, datagram []byte) {
	t.Helper()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
}

// read waits a moment for a datagram; "" is none.
func read(t testing.TB, conn net.PacketConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64)
	n, _, err := conn.ReadFrom(buffer)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// drain reads what has arrived before.
func drain(t testing.TB, conn net.PacketConn) {
	t.Helper()
	for read(t, conn) != "" { //nolint:revive // The condition does the work.
	}
}
