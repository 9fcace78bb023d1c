package plumb

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var (
	rack1  = plan.Overlay{Network: "gpu", Rack: "r1", VNI: 5000, Port: 4789, Local: netip.MustParseAddr("192.168.7.1")}
	rack1b = plan.Overlay{Network: "gpu", Rack: "r1", VNI: 5000, Port: 4789, Local: netip.MustParseAddr("fd00:7::1")}
)

// overlayNode has the local addresses of both on its NIC eth0.
func overlayNode(t *testing.T) *kernel.Namespace {
	kerneltest.RequireRoot(t, "VXLAN links in network namespaces")
	node := kerneltest.Namespace(t, "node")
	kerneltest.Cable(t, node, "eth0", kerneltest.Namespace(t, "machine"), "far0")
	kerneltest.Address(t, node, "eth0", rack1.Local.String()+"/24")
	kerneltest.Address(t, node, "eth0", rack1b.Local.String()+"/64")
	return node
}

func ensured(t *testing.T, node *kernel.Namespace, o plan.Overlay) (Uplink, bool) {
	t.Helper()
	link, created, err := EnsureOverlay(node, "", o)
	if err != nil {
		t.Fatal(err)
	}
	return link, created
}

func TestEnsureOverlay(t *testing.T) {
	for _, test := range []struct {
		overlay plan.Overlay
		mtu     int
	}{{rack1, 1450}, {rack1b, 1430}} {
		node := overlayNode(t)
		if _, err := FindOverlay(node, test.overlay); !errors.Is(err, ErrOverlayMissing) || !strings.Contains(err.Error(), "rack r1") {
			t.Errorf("find before ensure: %v", err)
		}
		link, created := ensured(t, node, test.overlay)
		if !created || link.MTU != test.mtu {
			t.Errorf("created %v with MTU %d, want %d", created, link.MTU, test.mtu)
		}
		again, created := ensured(t, node, test.overlay)
		found, err := FindOverlay(node, test.overlay)
		if created || again != link || found != link || err != nil {
			t.Errorf("second time: created %v, %+v, found %+v, %v; want %+v", created, again, found, err, link)
		}
		want := OverlayLink{Index: link.Index, Name: "mnvx5000", VNI: 5000, Port: 4789, Local: test.overlay.Local, MTU: test.mtu, Up: true}
		if links, err := OverlayLinks(node); err != nil || len(links) != 1 || links[0] != want {
			t.Errorf("links %+v, %v; want %+v", links, err, want)
		}
		wantQuietOverlay(t, node, link.Index)
	}
}

// wantQuietOverlay fails unless the link has no address and takes none.
func wantQuietOverlay(t *testing.T, node *kernel.Namespace, index int) {
	t.Helper()
	all, err := node.Handle().AddrList(byIndex(index), netlink.FAMILY_ALL)
	if err != nil || len(all) > 0 {
		t.Errorf("addresses of the VXLAN link: %v, %v", all, err)
	}
	kerneltest.Inside(t, node, func() error {
		for key, want := range map[string]string{"accept_ra": "0", "autoconf": "0", "addr_gen_mode": "1"} {
			if got, err := kernel.Proc("").ReadNet("ipv6/conf/mnvx5000/" + key); got != want || err != nil {
				t.Errorf("%s is %q, %v; want %s", key, got, err, want)
			}
		}
		return nil
	})
}

// What can be changed under the pods on a link is, and the link stays the same.
func TestEnsureOverlayRepairs(t *testing.T) {
	for _, overlay := range []plan.Overlay{rack1, rack1b} {
		node := overlayNode(t)
		link, _ := ensured(t, node, overlay)
		entry := Entry{MAC: MAC{2, 0, 0, 0, 0, 9}, Via: overlay.Local.Next()}
		if err := Program(node, link.Index, []Entry{entry}, nil); err != nil {
			t.Fatal(err)
		}
		moved := overlay
		moved.Local = overlay.Local.Next().Next()
		bits := "/24"
		if moved.Local.Is6() {
			bits = "/64"
		}
		kerneltest.Address(t, node, "eth0", moved.Local.String()+bits)
		kerneltest.SetMTU(t, node, "eth0", 9000)
		kerneltest.SetDown(t, node, "mnvx5000")
		after, created := ensured(t, node, moved)
		if created || after.Index != link.Index || after.MTU != link.MTU+7500 {
			t.Errorf("created %v, %+v after %+v", created, after, link)
		}
		if links, err := OverlayLinks(node); err != nil || len(links) != 1 || links[0].Local != moved.Local || !links[0].Up {
			t.Errorf("links %+v, %v", links, err)
		}
		if entries, err := Entries(node, link.Index); err != nil || len(entries) != 1 || entries[0] != entry {
			t.Errorf("entries %v, %v; want the one from before", entries, err)
		}
	}
}

// A link that a crash left between its creation and its settings is finished.
func TestEnsureOverlayFinishes(t *testing.T) {
	node := overlayNode(t)
	if err := node.Handle().LinkAdd(newOverlay(rack1, 1450)); err != nil {
		t.Fatal(err)
	}
	link, created := ensured(t, node, rack1)
	if created {
		t.Error("created what was there")
	}
	wantQuietOverlay(t, node, link.Index)
}

// On nodes that keep IPv6 off new interfaces, pods have IPv6 neighbours all the same.
func TestEnsureOverlayWithoutIPv6OnNewInterfaces(t *testing.T) {
	node := overlayNode(t)
	kerneltest.Inside(t, node, func() error { return kernel.Proc("").WriteNet("ipv6/conf/default/disable_ipv6", "1") })
	link, _ := ensured(t, node, rack1)
	entry := Entry{MAC: MAC{2, 0, 0, 0, 0, 9}, Addr: netip.MustParseAddr("fd00::9")}
	program(t, node, link.Index, []Entry{entry}, nil)
	wantEntries(t, node, link.Index, []Entry{entry})
	wantQuietOverlay(t, node, link.Index)
}

func TestEnsureOverlayRefuses(t *testing.T) {
	foreign := func(change func(*netlink.Vxlan)) func(*testing.T, *kernel.Namespace) {
		return func(t *testing.T, node *kernel.Namespace) {
			link := newOverlay(rack1, 1450)
			change(link)
			if err := node.Handle().LinkAdd(link); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		before func(*testing.T, *kernel.Namespace)
		change func(*plan.Overlay)
		want   string
		// leaves is 1 where the link is there, and comes up when what hinders it is gone.
		leaves int
	}{
		"nobody has the address": {
			change: func(o *plan.Overlay) { o.Local = netip.MustParseAddr("192.168.7.99") },
			want:   "no interface of the node has 192.168.7.99",
		},
		"somebody else's link of the name": {
			before: foreign(func(v *netlink.Vxlan) { v.LinkAttrs.Group = 0 }),
			want:   "interface mnvx5000 exists, but is not Multinet's",
		},
		"somebody else's link of the VNI": {
			before: foreign(func(v *netlink.Vxlan) { v.LinkAttrs.Group, v.Name = 0, "flannel.5000" }),
			want:   "VNI 5000 on UDP port 4789 is taken on the node by flannel.5000",
		},
		"another port": {
			before: foreign(func(v *netlink.Vxlan) { v.Port = 8472 }),
			want:   "has port 8472 instead of 4789, which cannot be changed",
		},
		"another family": {
			before: foreign(func(v *netlink.Vxlan) { v.SrcAddr = rack1b.Local.AsSlice() }),
			want:   "sends from fd00:7::1 instead of 192.168.7.1",
		},
		"it learns": {
			before: foreign(func(v *netlink.Vxlan) { v.Learning = true }),
			want:   "learns addresses",
		},
		"a program has the port": {
			before: func(t *testing.T, node *kernel.Namespace) { listen(t, node, "0.0.0.0:4789") },
			want:   "has UDP port 4789: choose another",
			leaves: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			node := overlayNode(t)
			if test.before != nil {
				test.before(t, node)
			}
			o := rack1
			if test.change != nil {
				test.change(&o)
			}
			before, err := Links(node)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := EnsureOverlay(node, "", o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			after, err := Links(node)
			if err != nil || len(after) != len(before)+test.leaves {
				t.Errorf("links %v, before %v, %v", after, before, err)
			}
		})
	}
}

// Whoever is second finds the link of whoever was first.
func TestEnsureOverlayConcurrently(t *testing.T) {
	node := overlayNode(t)
	var group sync.WaitGroup
	var made atomic.Int32
	for range 8 {
		group.Go(func() {
			link, created, err := EnsureOverlay(node, "", rack1)
			if err != nil || link.MTU != 1450 {
				t.Errorf("%+v, %v", link, err)
			}
			if created {
				made.Add(1)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("created %d times", made.Load())
	}
}

func TestExplainOverlay(t *testing.T) {
	if err := explainOverlay(nil, rack1, unix.EOPNOTSUPP); !errors.Is(err, ErrNoVXLANSupport) {
		t.Errorf("error %v of a kernel without VXLAN", err)
	}
	if err := explainOverlay(nil, rack1, unix.EPERM); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "mnvx5000") {
		t.Errorf("error %v", err)
	}
}

// Nodes that speak BGP have their address on the loopback interface.
func TestOverlayMTUOfLoopback(t *testing.T) {
	node := overlayNode(t)
	kerneltest.Address(t, node, "lo", "192.168.9.9/32")
	if mtu, err := overlayMTU(node, netip.MustParseAddr("192.168.9.9")); mtu != 1450 || err != nil {
		t.Errorf("MTU %d, %v; want 1450", mtu, err)
	}
}
