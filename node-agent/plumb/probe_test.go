package plumb

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// segment is a node's uplink eth1, and another machine at the end of its cable that has two addresses.
func segment(t *testing.T) (node, machine *kernel.Namespace) {
	kerneltest.RequireRoot(t, "address probes in network namespaces")
	node, machine = kerneltest.Namespace(t, "node"), kerneltest.Namespace(t, "machine")
	kerneltest.Cable(t, node, "eth1", machine, "far1")
	kerneltest.Address(t, machine, "far1", address4.String()+"/24")
	kerneltest.Address(t, machine, "far1", address6.String()+"/64")
	// The kernel joins the address's group a little after it has taken the address, and answers for it only then.
	kerneltest.Eventually(t, "the other machine listens for questions about its IPv6 address", func() (joined bool) {
		kerneltest.Inside(t, machine, func() error {
			groups, err := os.ReadFile("/proc/thread-self/net/igmp6")
			joined = strings.Contains(string(groups), "ff0200000000000000000001ff000005")
			return err
		})
		return joined
	})
	return node, machine
}

func probeIn(t *testing.T, ctx context.Context, node *kernel.Namespace, addrs ...netip.Addr) (conflicts []Conflict, took time.Duration, err error) {
	t.Helper()
	start := time.Now()
	err = node.Do(func() (err error) { conflicts, err = Probe(ctx, "eth1", addrs); return err })
	return conflicts, time.Since(start), err
}

func TestProbeFindsHolders(t *testing.T) {
	node, machine := segment(t)
	holder, _, err := FindLink(machine, "far1")
	if err != nil {
		t.Fatal(err)
	}
	free4, free6 := netip.MustParseAddr("10.20.0.6"), netip.MustParseAddr("fd00:20::6")
	for name, test := range map[string]struct{ ask, want []netip.Addr }{
		"IPv4":        {ask: []netip.Addr{address4}, want: []netip.Addr{address4}},
		"IPv6":        {ask: []netip.Addr{address6}, want: []netip.Addr{address6}},
		"both":        {ask: []netip.Addr{address4, address6}, want: []netip.Addr{address4, address6}},
		"one is free": {ask: []netip.Addr{free4, address4, free6, address6}, want: []netip.Addr{address4, address6}},
		"all free":    {ask: []netip.Addr{free4, free6}},
		"none asked":  {},
	} {
		t.Run(name, func(t *testing.T) {
			var conflicts []Conflict
			var took time.Duration
			// On a busy machine an answer comes after the probe's end.
			kerneltest.Eventually(t, "all holders are found", func() bool {
				var err error
				conflicts, took, err = probeIn(t, t.Context(), node, test.ask...)
				if err != nil {
					t.Fatal(err)
				}
				return len(conflicts) == len(test.want)
			})
			for i, want := range test.want {
				if got := conflicts[i]; got.Addr != want || got.MAC.String() != holder.MAC.String() {
					t.Errorf("conflict %+v, want %s at %s", got, want, holder.MAC)
				}
			}
			if silent := len(test.ask) > len(test.want); silent && took < probeWait {
				t.Errorf("an address was taken to be free after %s", took)
			}
		})
	}
}

// Two nodes that were given the same address both see the other's probe.
func TestProbeFindsOtherProbes(t *testing.T) {
	node, machine := segment(t)
	free4, free6 := netip.MustParseAddr("10.20.0.7"), netip.MustParseAddr("fd00:20::7")
	other := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	ctx, cancel := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() { sendUntil(ctx, machine, arpProbe(other, free4), nsProbe(other, free6)) })
	conflicts, _, err := probeIn(t, t.Context(), node, free4, free6)
	cancel()
	sender.Wait()
	if err != nil || len(conflicts) != 2 || conflicts[0].MAC.String() != other.String() || conflicts[1].MAC.String() != other.String() {
		t.Errorf("conflicts %v, %v; want both addresses at %s", conflicts, err, other)
	}
}

func sendUntil(ctx context.Context, machine *kernel.Namespace, frames ...[]byte) {
	_ = machine.Do(func() error {
		socket, err := openPacket("far1", 0, nil)
		if err != nil {
			return err
		}
		defer socket.Close()
		for ctx.Err() == nil {
			for _, frame := range frames {
				_ = socket.send(frame)
			}
			runtime.Gosched()
		}
		return nil
	})
}

func TestProbeEndsWithContext(t *testing.T) {
	node, _ := segment(t)
	ctx, cancel := context.WithCancel(t.Context())
	addrs := []netip.Addr{address4, netip.MustParseAddr("10.20.0.6"), netip.MustParseAddr("fd00:20::6")}
	time.AfterFunc(20*time.Millisecond, cancel)
	err := node.Do(func() error { _, err := probeFor(ctx, time.Hour, "eth1", addrs); return err })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestProbeWithoutUplink(t *testing.T) {
	node, _ := segment(t)
	err := node.Do(func() error { _, err := Probe(t.Context(), "eth9", []netip.Addr{address4}); return err })
	if want := "probe addresses on eth9: bind packet socket to eth9: no such device"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	link, _, err := FindLink(node, "eth1")
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Handle().LinkSetDown(byIndex(link.Index)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := probeIn(t, t.Context(), node, address4); err == nil {
		t.Error("no error from an uplink that is down")
	}
}

func TestAnnounce(t *testing.T) {
	node, machine := segment(t)
	listener := map[uint16]*packetSocket{}
	kerneltest.Inside(t, machine, func() error {
		for etherType, filter := range map[uint16]family{etherTypeARP: probeIPv4, etherTypeIPv6: probeIPv6} {
			socket, err := openPacket("far1", etherType, filter.filter)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = socket.Close() })
			listener[etherType] = socket
			if err := socket.expireAt(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	addrs := []netip.Addr{netip.MustParseAddr("10.20.0.8"), netip.MustParseAddr("fd00:20::8")}
	kerneltest.Inside(t, node, func() error { return Announce("eth1", addrs) })

	uplink, _, err := FindLink(node, "eth1")
	if err != nil {
		t.Fatal(err)
	}
	for etherType, want := range map[uint16][]byte{
		etherTypeARP:  arpAnnouncement(uplink.MAC, addrs[0]),
		etherTypeIPv6: naAnnouncement(uplink.MAC, addrs[1]),
	} {
		buffer := make([]byte, 2048)
		for {
			frame, err := listener[etherType].receive(buffer)
			if err != nil {
				t.Fatalf("no announcement of type %#x: %v", etherType, err)
			}
			if string(frame) == string(want) {
				break
			}
		}
	}
}

func TestQuietIPv6(t *testing.T) {
	node, _ := segment(t)
	err := node.Do(func() error { return QuietIPv6("", "eth9") })
	if err == nil {
		t.Error("no error although the interface does not exist")
	}
	if err := node.Do(func() error { return QuietIPv6("/nonexistent", "eth1") }); err != nil {
		t.Errorf("a kernel without IPv6 has nothing to quieten: %v", err)
	}
}
