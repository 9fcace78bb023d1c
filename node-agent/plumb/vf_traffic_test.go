package plumb

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

const port = ":7000"

// Two pods reach each other on VFs of one card, and of two cards; one with its MAC by a new binding of the driver, one that is
// trusted and takes it at once. In another VLAN nobody hears them, although they know address and MAC.
func TestSRIOVTraffic(t *testing.T) {
	for name, test := range map[string]struct {
		pf       [2]int
		settings [2]plan.VFSettings
		hears    bool
	}{
		"one card":       {hears: true},
		"two cards":      {pf: [2]int{0, 1}, hears: true},
		"trusted":        {settings: [2]plan.VFSettings{{Trust: ptr(true)}, {Trust: ptr(true)}}, hears: true},
		"one VLAN":       {settings: [2]plan.VFSettings{{VLAN: ptr(100)}, {VLAN: ptr(100)}}, hears: true},
		"another VLAN":   {settings: [2]plan.VFSettings{{VLAN: ptr(100)}, {VLAN: ptr(200)}}},
		"one has a VLAN": {settings: [2]plan.VFSettings{{VLAN: ptr(100)}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCards(t, "traffic between VFs")
			pods := [2]*kernel.Namespace{kerneltest.Namespace(t, "a"), kerneltest.Namespace(t, "b")}
			addresses := [2]string{"10.77.0.1", "10.77.0.2"}
			for i, pod := range pods {
				vf, before := c.vf(test.pf[i], 1+i)
				c.attach(vf, pod, mac(byte(1+i)), test.settings[i])
				t.Cleanup(func() { c.release(vf, before, pod) })
				kerneltest.Address(t, pod, "net1", addresses[i]+"/24")
			}
			for i, pod := range pods {
				// Nobody need ask, so that silence is not for want of an answer.
				kerneltest.SetNeighbour(t, pod, "net1", netip.MustParseAddr(addresses[1-i]), mac(byte(2-i)))
			}
			listener, sender := open(t, pods[1], addresses[1]+port), open(t, pods[0], addresses[0]+port)
			heard := func() bool { return hears(t, sender, listener, addresses[1]+port) }
			if test.hears {
				kerneltest.Eventually(t, "a datagram arrives", heard)
				return
			}
			for range 3 {
				if heard() {
					t.Fatal("a datagram crossed between VLANs")
				}
			}
		})
	}
}

func open(t *testing.T, ns *kernel.Namespace, address string) (conn net.PacketConn) {
	t.Helper()
	kerneltest.Inside(t, ns, func() (err error) { conn, err = net.ListenPacket("udp", address); return err })
	t.Cleanup(func() { conn.Close() })
	return conn
}

func hears(t *testing.T, sender, listener net.PacketConn, address string) bool {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sender.WriteTo([]byte("hello"), to); err != nil {
		return false // The carrier may not be there yet.
	}
	if err := listener.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _, err = listener.ReadFrom(make([]byte, 16))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}
