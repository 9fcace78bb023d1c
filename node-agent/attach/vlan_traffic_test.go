package attach

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// onVLAN is a plan for a pod in the subnet of storage, on an uplink's VLAN.
func onVLAN(uplink string, id int, last byte, address string) plan.Attachment {
	p := withMAC(storage(), last)
	p.Device.Uplink, p.Macvlan = uplink, &plan.Macvlan{Mode: "bridge", VLAN: id}
	p.Addresses, p.Routes = prefixes(address), nil
	return p
}

// Pods on two nodes reach each other in one VLAN, and what a pod sends in another VLAN does not arrive, although it knows
// the address and the MAC.
func TestVLANCarriesItsOwnPodsOnly(t *testing.T) {
	w := newWorld(t)
	receiver, friend, stranger := w.pod(), w.pod(), w.pod()
	_, err := w.attacher.Attach(t.Context(), friend.Path(), []plan.Attachment{onVLAN("eth1", 100, 90, "10.20.0.90/24")})
	if errors.Is(err, plumb.ErrNoVLANSupport) {
		return // How that is told is seen elsewhere.
	}
	w.must(err)
	w.attach(stranger, onVLAN("eth1", 200, 91, "10.20.0.91/24"))
	other := New(Options{NodeNamespace: w.machine.Path()})
	target := onVLAN("far1", 100, 92, "10.20.0.92/24")
	_, err = other.Attach(t.Context(), receiver.Path(), []plan.Attachment{target})
	w.must(err)

	listener := listen(t, receiver, "10.20.0.92:7000")
	kerneltest.SetNeighbour(t, stranger, "net1", target.Addresses[0].Addr(), net.HardwareAddr(target.MAC))
	fromStranger, fromFriend := dial(t, stranger, "10.20.0.92:7000"), dial(t, friend, "10.20.0.92:7000")
	kerneltest.Eventually(t, "a datagram of the friend arrives", func() bool {
		// The stranger's goes first each time, so that it would be the first to arrive.
		send(t, fromStranger, "stranger")
		send(t, fromFriend, "friend")
		text := receive(t, listener)
		if text == "stranger" {
			t.Fatal("a datagram crossed from VLAN 200 to VLAN 100")
		}
		return text == "friend"
	})
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
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// receive waits a moment for a datagram; "" is none.
func receive(t testing.TB, conn net.PacketConn) string {
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
