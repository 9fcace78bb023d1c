package plumb

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

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
