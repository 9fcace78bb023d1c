package attach

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

const overlayPort = 4789

// rack is some nodes on one LAN, eth0, whose addresses are of one family.
type rack struct {
	t     testing.TB
	nodes []*rackNode
}

type rackNode struct {
	*kernel.Namespace
	attacher *Attacher
	overlay  plan.Overlay
	link     plumb.Uplink
}

// newRack makes n nodes with the overlay, which knows no pods yet and has no members.
func newRack(t testing.TB, first netip.Addr, n int) *rack {
	kerneltest.RequireRoot(t, "VXLAN links in network namespaces")
	r := &rack{t: t}
	machines := make([]*kernel.Namespace, n)
	for i := range machines {
		machines[i] = kerneltest.Namespace(t, "node")
	}
	kerneltest.LAN(t, "eth0", machines...)
	for _, machine := range machines {
		node := &rackNode{Namespace: machine, attacher: New(Options{NodeNamespace: machine.Path()})}
		node.overlay = plan.Overlay{Network: "gpu", Rack: "r1", VNI: 5000, Port: overlayPort, Local: first}
		bits := 24
		if first.Is6() {
			bits = 64
		}
		kerneltest.Address(t, machine, "eth0", fmt.Sprintf("%s/%d", first, bits))
		first = first.Next()
		var err error
		node.link, _, err = node.attacher.EnsureOverlay(node.overlay)
		r.must(err)
		r.nodes = append(r.nodes, node)
	}
	return r
}

func (r *rack) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// rackPod is a pod on a node of the rack.
type rackPod struct {
	*kernel.Namespace
	plan plan.Attachment
	node *rackNode
}

func (n *rackNode) order(last byte) plan.Attachment {
	return plan.Attachment{
		Network: "gpu", Rack: "r1", Interface: "net1",
		MAC:       plan.HardwareAddr{2, 0, 0, 0, 5, last},
		Addresses: prefixes(fmt.Sprintf("10.50.0.%d/24", last), fmt.Sprintf("fd00:50::%d/64", last)),
		Device:    plan.Device{Name: "overlay", Uplink: "eth0"},
		Macvlan:   &plan.Macvlan{Mode: "bridge"},
		Overlay:   &n.overlay,
	}
}

// pod attaches a pod and tells all other nodes.
func (r *rack) pod(node *rackNode, last byte) rackPod {
	r.t.Helper()
	p := rackPod{Namespace: kerneltest.Namespace(r.t, "pod"), plan: node.order(last), node: node}
	_, err := node.attacher.Attach(r.t.Context(), p.Path(), []plan.Attachment{p.plan})
	r.must(err)
	for _, other := range r.nodes {
		if other != node {
			r.must(plumb.Program(other.Namespace, other.link.Index, p.entries(), nil))
		}
	}
	return p
}

func (p rackPod) entries() []plumb.Entry {
	mac := plumb.MAC(p.plan.MAC)
	entries := []plumb.Entry{{MAC: mac, Via: p.node.overlay.Local}}
	for _, a := range p.plan.Addresses {
		entries = append(entries, plumb.Entry{MAC: mac, Addr: a.Addr()})
	}
	return entries
}

// guard makes the nodes at the indexes members of each other.
func (r *rack) guard(indexes ...int) {
	r.t.Helper()
	for _, i := range indexes {
		var members []netip.Addr
		for _, j := range indexes {
			if j != i {
				members = append(members, r.nodes[j].overlay.Local)
			}
		}
		r.must(plumb.EnsureGuards(r.nodes[i].Namespace, []plumb.Guard{{VNI: 5000, Port: overlayPort, Members: members}}))
	}
}

// reaches asks each address of a pod from another one.
func (r *rack) reaches(from, to rackPod) {
	r.t.Helper()
	for _, address := range to.plan.Addresses {
		at := netip.AddrPortFrom(address.Addr(), 7000).String()
		listener, sender := listen(r.t, to.Namespace, at), dial(r.t, from.Namespace, at)
		kerneltest.Eventually(r.t, "a datagram to "+at+" arrives", func() bool {
			send(r.t, sender, "hello")
			return receive(r.t, listener) == "hello"
		})
		r.must(errors.Join(listener.Close(), sender.Close()))
	}
}

var underlays = []netip.Addr{netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("fd00:7::1")}

// Pods of a rack reach each other over nodes with either family, and by programmed entries alone.
func TestOverlay(t *testing.T) {
	for _, first := range underlays {
		r := newRack(t, first, 3)
		r.guard(0, 1, 2)
		a, b, c, neighbour := r.pod(r.nodes[0], 1), r.pod(r.nodes[1], 2), r.pod(r.nodes[2], 3), r.pod(r.nodes[0], 4)
		for _, pair := range [][2]rackPod{{a, b}, {b, a}, {b, c}, {c, a}, {a, neighbour}, {neighbour, c}} {
			r.reaches(pair[0], pair[1])
		}
		for _, p := range []rackPod{a, b, c, neighbour} {
			r.must(p.node.attacher.Check(t.Context(), p.Path(), []plan.Attachment{p.plan}))
			conflicts, err := p.node.attacher.Probe(t.Context(), p.plan)
			if err != nil || len(conflicts) > 0 {
				t.Errorf("probe of an address that the overlay's link answers for: %v, %v", conflicts, err)
			}
		}
	}
}

// The hook finds the overlay, and says what is wrong where it cannot be used.
func TestAttachToOverlayRefuses(t *testing.T) {
	r := newRack(t, underlays[0], 1)
	node := r.nodes[0]
	for name, test := range map[string]struct {
		change func(*plan.Attachment)
		want   string
		is     error
	}{
		"an overlay that is not there": {
			change: func(p *plan.Attachment) { p.Overlay = &plan.Overlay{Rack: "r9", VNI: 9000} },
			want:   `network "gpu" interface net1: find uplink: overlay of rack r9 (VNI 9000): the node has no VXLAN link for it yet`,
			is:     plumb.ErrOverlayMissing,
		},
		"an MTU that does not fit": {
			change: func(p *plan.Attachment) { p.MTU = 1451 },
			want:   `network "gpu" interface net1: find uplink: MTU 1451 exceeds that of the overlay of rack r1 on this node, which is 1450`,
		},
	} {
		pod, p := kerneltest.Namespace(t, "pod"), node.order(1)
		test.change(&p)
		_, err := node.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
		if links, err := plumb.Links(pod); err != nil || len(links) != 1 {
			t.Errorf("%s: links in the pod: %v, %v", name, links, err)
		}
	}
	kerneltest.SetMTU(t, node.Namespace, "eth0", 1300)
	_, _, err := node.attacher.EnsureOverlay(node.overlay)
	r.must(err)
	_, err = node.attacher.Attach(t.Context(), kerneltest.Namespace(t, "pod").Path(), []plan.Attachment{node.order(1)})
	if err == nil || !strings.Contains(err.Error(), "is 1250, and IPv6 needs 1280") {
		t.Errorf("an MTU that is too small for IPv6: %v", err)
	}
	kerneltest.SetMTU(t, node.Namespace, "eth0", 1500)
	_, _, err = node.attacher.EnsureOverlay(node.overlay)
	r.must(err)
	p := node.order(1)
	p.MTU = 1450
	_, err = node.attacher.Attach(t.Context(), kerneltest.Namespace(t, "pod").Path(), []plan.Attachment{p})
	r.must(err)
}

// A pod whose overlay was removed, or made anew, is not as planned, and is repaired by another attach.
func TestCheckOverlay(t *testing.T) {
	r := newRack(t, underlays[0], 2)
	r.guard(0, 1)
	a, b := r.pod(r.nodes[0], 1), r.pod(r.nodes[1], 2)
	check := func() error { return a.node.attacher.Check(t.Context(), a.Path(), []plan.Attachment{a.plan}) }
	r.must(check())
	kerneltest.Remove(t, a.node.Namespace, "mnvx5000")
	if err := check(); !errors.Is(err, plumb.ErrOverlayMissing) {
		t.Errorf("without the overlay: %v", err)
	}
	link, created, err := a.node.attacher.EnsureOverlay(a.node.overlay)
	r.must(err)
	if !created || link.MTU != a.node.link.MTU {
		t.Errorf("made anew: %v, %+v", created, link)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "the interface is missing") {
		t.Errorf("with another overlay: %v", err)
	}
	_, err = a.node.attacher.Attach(t.Context(), a.Path(), []plan.Attachment{a.plan})
	r.must(err)
	r.must(check())
	r.must(plumb.Program(a.node.Namespace, link.Index, b.entries(), nil))
	r.reaches(a, b)
	r.reaches(b, a)
}

// A link that no plan needs goes, but not while an attach or EnsureOverlay may rely on it.
func TestPruneOverlays(t *testing.T) {
	r := newRack(t, underlays[0], 1)
	node := r.nodes[0]
	pod := r.pod(node, 1)
	attacher := node.attacher
	other := node.overlay
	other.VNI = 6000
	_, _, err := attacher.EnsureOverlay(other)
	r.must(err)
	segment := plan.Segment{Overlay: node.overlay}
	r.must(attacher.PruneSegments(planned(segment)))
	links, err := plumb.OverlayLinks(node.Namespace)
	if err != nil || len(links) != 1 || links[0].VNI != 5000 {
		t.Errorf("links %+v, %v; want that of VNI 5000", links, err)
	}
	r.must(attacher.Check(t.Context(), pod.Path(), []plan.Attachment{pod.plan}))
	r.must(attacher.PruneSegments(func() ([]plan.Segment, bool) {
		if attacher.segments.TryRLock() {
			t.Error("an overlay could be ensured between the look at the plans and the removal")
		}
		return []plan.Segment{segment}, true
	}))
	attacher.before = at("net1", StepLink, func() error {
		if err := attacher.PruneSegments(planned()); !errors.Is(err, ErrBusy) {
			t.Errorf("prune during an attach: %v", err)
		}
		return nil
	})
	_, err = attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{pod.plan})
	r.must(err)
	attacher.before = nil
	r.must(attacher.PruneSegments(planned()))
	if links, err := plumb.OverlayLinks(node.Namespace); err != nil || len(links) > 0 {
		t.Errorf("links %+v, %v; want none", links, err)
	}
	if _, found, err := plumb.FindLink(pod.Namespace, "net1"); found || err != nil {
		t.Errorf("the pod's link outlives the overlay: %v, %v", found, err)
	}
}
