package attach

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// wantQuiet fails unless the interface takes nothing from the network by itself.
func (w *world) wantQuiet(pod *kernel.Namespace, iface string) {
	w.t.Helper()
	kerneltest.Inside(w.t, pod, func() error {
		for _, key := range []string{"accept_ra", "autoconf", "accept_dad"} {
			value, err := kernel.Proc("").ReadNet("ipv6/conf/" + iface + "/" + key)
			if err != nil || value != "0" {
				w.t.Errorf("sysctl %s of %s is %q, %v; want 0", key, iface, value, err)
			}
		}
		return nil
	})
}

// A router advertisement that gives an address to a link with the kernel's defaults gives none to ours, in the same pod.
func TestRogueRouterIsIgnored(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	w.attach(pod, storage())
	w.wantQuiet(pod, "net1")

	kerneltest.Macvlan(t, w.node, "eth1", pod, "naive")
	naive, _, err := plumb.FindLink(pod, "naive")
	w.must(err)

	rogue := netip.MustParsePrefix("fd00:bad::/64")
	has := func(index int) bool {
		addresses, err := plumb.Addresses(pod, index)
		w.must(err)
		for _, address := range addresses {
			if rogue.Contains(address.Addr()) {
				return true
			}
		}
		return false
	}
	kerneltest.Eventually(t, "the link with the kernel's defaults takes an address from the router", func() bool {
		w.send("far1", routerAdvertisement(rogue))
		return has(naive.Index)
	})
	ours, _, err := plumb.FindLink(pod, "net1")
	w.must(err)
	if has(ours.Index) {
		t.Error("net1 took an address from a rogue router")
	}
	routes, err := plumb.Routes(pod)
	w.must(err)
	for _, route := range routes {
		if route.Link == ours.Index && route.To.Bits() == 0 {
			t.Errorf("net1 took a default route from a rogue router: %+v", route)
		}
	}
	w.check(pod, storage())
}

// send puts a frame onto the cable from the other machine.
func (w *world) send(iface string, frame []byte) {
	w.t.Helper()
	kerneltest.Inside(w.t, w.machine, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		index, _, err := w.machine.Interface(iface)
		if err != nil {
			return err
		}
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
	})
}

// routerAdvertisement offers a prefix for autoconfiguration, RFC 4861 sections 4.2 and 4.6.2.
func routerAdvertisement(prefix netip.Prefix) []byte {
	source, destination := netip.MustParseAddr("fe80::bad").As16(), netip.MustParseAddr("ff02::1").As16()
	network := prefix.Addr().As16()
	body := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0} // lifetime 1800 s
	body = append(body, 3, 4, byte(prefix.Bits()), 0xc0)                    // on link, autonomous
	body = append(body, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	body = append(body, network[:]...)
	pseudo := append(append([]byte{}, source[:]...), destination[:]...)
	pseudo = append(binary.BigEndian.AppendUint32(pseudo, uint32(len(body))), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))

	frame := []byte{0x33, 0x33, 0, 0, 0, 1, 2, 0xba, 0xd0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0}
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(len(body))), 58, 255)
	frame = append(append(frame, source[:]...), destination[:]...)
	return append(frame, body...)
}

func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// A neighbour that knew the address at another MAC sends to the pod as soon as it has heard the announcement.
func TestAnnouncementCorrectsNeighbours(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	kerneltest.Address(t, w.machine, "far1", "10.20.0.1/24")
	kerneltest.Address(t, w.machine, "far1", "fd00:20::1/64")
	former := net.HardwareAddr{2, 0, 0, 0, 9, 9}
	for _, address := range storage().Addresses {
		kerneltest.SetNeighbour(t, w.machine, "far1", address.Addr(), former)
	}
	w.attach(pod, storage())
	w.must(w.attacher.Announce(t.Context(), pod.Path(), []plan.Attachment{storage()}))
	for _, address := range storage().Addresses {
		kerneltest.Eventually(t, "the neighbour knows the new MAC of "+address.Addr().String(), func() bool {
			return kerneltest.Neighbour(t, w.machine, "far1", address.Addr()) == storage().MAC.String()
		})
	}
}

func TestProbe(t *testing.T) {
	w := newWorld(t)
	conflicts, err := w.attacher.Probe(t.Context(), storage())
	if err != nil || len(conflicts) != 0 {
		t.Errorf("conflicts %v, %v where nobody has the addresses", conflicts, err)
	}
	kerneltest.Address(t, w.machine, "far1", "10.20.0.5/24")
	conflicts, err = w.attacher.Probe(t.Context(), storage())
	if err != nil || len(conflicts) != 1 || conflicts[0].Addr != storage().Addresses[0].Addr() {
		t.Errorf("conflicts %v, %v where another machine has the IPv4 address", conflicts, err)
	}
	missing := storage()
	missing.Device.Uplink = "eth9"
	_, err = w.attacher.Probe(t.Context(), missing)
	var failed *Error
	if !errors.As(err, &failed) || failed.Step != StepProbe {
		t.Errorf("error %v, want one of step %q", err, StepProbe)
	}
}

// Linux answers for every address of a pod on any of its interfaces, whichever is first; traffic for net2 then
// enters by net1.
func TestInterfacesOnOneSegmentAnswerForThemselves(t *testing.T) {
	w := newWorld(t)
	second := storage()
	second.Interface, second.MAC, second.Routes = "net2", plan.HardwareAddr{2, 0, 0, 0, 1, 6}, nil
	second.Addresses = prefixes("10.20.0.6/24", "fd00:20::6/64")
	w.attach(w.pod(), storage(), second)
	// holders is how many of the addresses are answered for. On a busy machine an answer comes after the probe's end.
	holders := func(a plan.Attachment) (n int) {
		kerneltest.Inside(t, w.machine, func() error {
			found, err := plumb.Probe(t.Context(), "far1", []netip.Addr{a.Addresses[0].Addr(), a.Addresses[1].Addr()})
			for _, holder := range found {
				if holder.MAC.String() != a.MAC.String() {
					t.Errorf("%s answers for %s, which is on %s", holder.MAC, holder.Addr, a.Interface)
				}
			}
			n = len(found)
			return err
		})
		return n
	}
	for range 5 { // each with another order of answers, if there are several
		for _, a := range []plan.Attachment{storage(), second} {
			kerneltest.Eventually(t, "both addresses of "+a.Interface+" are answered for", func() bool { return holders(a) == 2 })
		}
	}
}
