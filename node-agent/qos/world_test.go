package qos

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// world is a node whose uplink eth1 ends in another machine, and the pods on it.
type world struct {
	t       testing.TB
	node    *kernel.Namespace
	machine *kernel.Namespace
	dir     string
	speed   uint64
	manager *Manager
	planned []plan.Attachment
}

func newWorld(t testing.TB, speed uint64) *world {
	kerneltest.RequireRoot(t, "queues and programs on links in network namespaces")
	w := &world{t: t, node: kerneltest.Namespace(t, "node"), machine: kerneltest.Namespace(t, "machine"), speed: speed, dir: kerneltest.BPFFS(t)}
	kerneltest.Cable(t, w.node, "eth1", w.machine, "far1")
	kerneltest.Address(t, w.machine, "far1", "10.20.0.1/16")
	kerneltest.Address(t, w.machine, "far1", "fd00:20::1/64")
	w.manager = w.newManager()
	return w
}

// newManager is that of an agent that starts.
func (w *world) newManager() *Manager {
	return New(Options{
		Log: testr.New(w.t.(*testing.T)), Open: func() (*kernel.Namespace, error) { return kernel.OpenNamespace(w.node.Path()) },
		Dir: w.dir, Speed: func(plan.Device) uint64 { return w.speed },
	})
}

// testPod is a pod with one attachment.
type testPod struct {
	*kernel.Namespace
	plan.Attachment
	index  int
	v4, v6 netip.Addr
}

// attachment n is on eth1, with a class or without.
func attachment(n int, qos *plan.QoS) plan.Attachment {
	a := plan.Attachment{
		Name: fmt.Sprintf("pod-%d", n), Network: "net", Interface: "net1", MAC: plan.HardwareAddr{2, 0, 0, 0, byte(n >> 8), byte(n)},
		Device: plan.Device{Name: "uplink-eth1", Uplink: "eth1"}, Macvlan: &plan.Macvlan{Mode: "bridge"}, QoS: qos,
	}
	if qos != nil {
		a.GSOMaxSize = qos.Egress.GSOMaxSize()
	}
	return a
}

func asking(name string, egress, ingress plan.Bandwidth) *plan.QoS {
	return &plan.QoS{Class: name, Egress: egress, Ingress: ingress}
}

func withPriority(q *plan.QoS, priority int) *plan.QoS {
	q.Priority = &priority
	return q
}

// pod plans an attachment, has it applied, and attaches it as the attach path does.
func (w *world) pod(n int, qos *plan.QoS) *testPod {
	w.t.Helper()
	p := &testPod{Namespace: kerneltest.Namespace(w.t, "pod"), Attachment: attachment(n, qos)}
	w.planned = append(w.planned, p.Attachment)
	w.apply()
	uplink, err := plumb.FindUplink(w.node, "eth1")
	must(w.t, err)
	link, _, err := plumb.EnsureMacvlan(w.node, p.Namespace, plumb.Macvlan{
		Name: "net1", Uplink: uplink, MAC: net.HardwareAddr(p.MAC), Mode: "bridge", GSOMaxSize: p.GSOMaxSize,
	})
	must(w.t, err)
	p.index = link.Index
	must(w.t, plumb.SetUp(p.Namespace, link.Index))
	p.v4, p.v6 = netip.AddrFrom4([4]byte{10, 20, 1, byte(n)}), netip.MustParseAddr(fmt.Sprintf("fd00:20::1:%x", n))
	kerneltest.Address(w.t, p.Namespace, "net1", p.v4.String()+"/16")
	kerneltest.Address(w.t, p.Namespace, "net1", p.v6.String()+"/64")
	w.guard(p)
	return p
}

func (w *world) guard(p *testPod) {
	w.t.Helper()
	must(w.t, p.Do(func() error { w.manager.Guard(p.Attachment, p.index); return nil }))
}

func (w *world) guarded(p *testPod) (yes bool) {
	w.t.Helper()
	must(w.t, p.Do(func() error { yes = w.manager.Guarded(p.Attachment, p.index); return nil }))
	return yes
}

func (w *world) apply() { w.manager.Apply(w.planned, true) }

// change gives a pod another class.
func (w *world) change(p *testPod, qos *plan.QoS) {
	for i := range w.planned {
		if w.planned[i].Name == p.Name {
			w.planned[i].QoS = qos
		}
	}
	p.QoS = qos
	w.apply()
}

// drop takes the plan of a pod away.
func (w *world) drop(p *testPod) {
	var left []plan.Attachment
	for _, a := range w.planned {
		if a.Name != p.Name {
			left = append(left, a)
		}
	}
	w.planned = left
	w.apply()
}

func (w *world) index(name string) int {
	w.t.Helper()
	link, found, err := plumb.FindLink(w.node, name)
	must(w.t, err)
	if !found {
		return 0
	}
	return link.Index
}

// root is the root qdisc of a link of the node.
func (w *world) root(name string) qdisc {
	w.t.Helper()
	list, err := qdiscs(w.node)
	must(w.t, err)
	root, _ := rootOf(list, w.index(name))
	return root
}

// count is how many packets the class with a name has sent.
func (w *world) count(class, d string) uint64 { return w.counter(class, d).Packets }

func (w *world) counter(class, d string) Counter {
	w.t.Helper()
	all, err := w.manager.Counters()
	must(w.t, err)
	for _, c := range all {
		if c.Class == class && c.Direction == d && c.Link == "eth1" {
			return c
		}
	}
	return Counter{}
}
