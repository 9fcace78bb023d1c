package overlay

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// cluster is the nodes on one LAN, each with an attach path and a Manager, and the API server that they share.
type cluster struct {
	*testing.T
	mu       sync.Mutex
	list     map[string]*v1alpha1.PodNetworkAttachment
	watchers map[watch.RackReceiver]bool
	nodes    []*clusterNode
}

type clusterNode struct {
	*cluster
	ns      *kernel.Namespace
	name    string
	overlay plan.Overlay
	path    *attach.Attacher
	manager *Manager
}

func newCluster(t *testing.T, size int) *cluster {
	kerneltest.RequireRoot(t, "VXLAN links in network namespaces")
	c := &cluster{T: t, list: map[string]*v1alpha1.PodNetworkAttachment{}, watchers: map[watch.RackReceiver]bool{}}
	machines := make([]*kernel.Namespace, size)
	for i := range machines {
		machines[i] = kerneltest.Namespace(t, "node")
	}
	kerneltest.LAN(t, "eth0", machines...)
	ctx, cancel := context.WithCancel(context.Background())
	for i, ns := range machines {
		n := &clusterNode{cluster: c, ns: ns, name: fmt.Sprint("node-", i), overlay: rack1, path: attach.New(attach.Options{NodeNamespace: ns.Path()})}
		n.overlay.Local = netip.AddrFrom4([4]byte{192, 168, 7, byte(1 + i)})
		kerneltest.Address(t, ns, "eth0", n.overlay.Local.String()+"/24")
		n.manager = New(ctx, Options{
			Log: logr.Discard(), NodeName: n.name, Watch: c.watch, Remade: func() { t.Error("a link was gone") },
			Node: NewNode(n.path, func() (*kernel.Namespace, error) { return ns, nil }),
		})
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		cancel()
		for _, n := range c.nodes {
			n.manager.Keep(func() ([]plan.Overlay, bool) { return nil, true })
		}
	})
	return c
}

func (c *cluster) watch(ctx context.Context, _, _ string, to watch.RackReceiver) {
	c.mu.Lock()
	to.Replace(slices.Collect(maps.Values(c.list)))
	c.watchers[to] = true
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, to)
}

// pod is one with a datagram socket on its address.
type pod struct {
	ns   *kernel.Namespace
	addr string
	conn net.PacketConn
}

// start orders, prepares and attaches a pod with the address and MAC that end in last.
func (n *clusterNode) start(name string, last byte) pod {
	n.Helper()
	pna := attachment(name, n.name, n.overlay.Local.String(), fmt.Sprintf("02:00:00:00:00:%02x", last), fmt.Sprintf("10.1.0.%d/24", last))
	pna.CreationTimestamp.Time = time.Now()
	n.mu.Lock()
	n.list[name] = pna
	for to := range n.watchers {
		to.Set(pna)
	}
	n.mu.Unlock()
	if err := n.manager.Ensure(n.Context(), n.overlay); err != nil {
		n.Fatal(err)
	}
	p := pod{ns: kerneltest.Namespace(n.T, "pod"), addr: fmt.Sprintf("10.1.0.%d", last)}
	attached := plan.Attachment{
		Network: "rack", Rack: "r1", Interface: "net1", MAC: plan.HardwareAddr{2, 0, 0, 0, 0, last},
		Addresses: []netip.Prefix{netip.MustParsePrefix(p.addr + "/24")}, Macvlan: &plan.Macvlan{Mode: "bridge"}, Overlay: &n.overlay,
	}
	if _, err := n.path.Attach(n.Context(), p.ns.Path(), []plan.Attachment{attached}); err != nil {
		n.Fatal(err)
	}
	kerneltest.Inside(n.T, p.ns, func() (err error) { p.conn, err = net.ListenPacket("udp", p.addr+":7000"); return err })
	n.Cleanup(func() { _ = p.conn.Close() })
	return p
}

// gone is the end of an order.
func (c *cluster) gone(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.list, name)
	for to := range c.watchers {
		to.Remove("ns", name)
	}
}

// hears tells whether something that from sends now arrives.
func (p pod) hears(t *testing.T, from pod, wait time.Duration) bool {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", p.addr+":7000")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("from %s at %d", from.addr, time.Now().UnixNano())
	_, _ = from.conn.WriteTo([]byte(text), to) // an error is silence
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	buffer := make([]byte, 100)
	for {
		n, _, err := p.conn.ReadFrom(buffer)
		if err != nil {
			return false
		}
		if string(buffer[:n]) == text {
			return true
		}
	}
}

func (c *cluster) reach(a, b pod) {
	c.Helper()
	kerneltest.Eventually(c.T, a.addr+" and "+b.addr+" reach each other", func() bool {
		return a.hears(c.T, b, 100*time.Millisecond) && b.hears(c.T, a, 100*time.Millisecond)
	})
}

// Pods reach each other as soon as their nodes know of them, a pod that moves keeps its address and MAC, and a node that has no
// pod any more, or never had, cannot send.
func TestClusterOfThree(t *testing.T) {
	c := newCluster(t, 3)
	a, db := c.nodes[0].start("a", 1), c.nodes[1].start("db", 2)
	c.reach(a, db)
	c.gone("db")
	moved := c.nodes[2].start("db-again", 2)
	c.reach(a, moved)
	// What is left of the first one on its node sends as before.
	kerneltest.Eventually(t, "the node that the pod left is shut out", func() bool {
		guards, err := plumb.Guards(c.nodes[0].ns)
		return err == nil && len(guards) == 1 && slices.Equal(guards[0].Members, []netip.Addr{c.nodes[2].overlay.Local})
	})
	if a.hears(t, db, 100*time.Millisecond) {
		t.Error("a node without pods of the rack sends into it")
	}
	if !a.hears(t, moved, 5*time.Second) {
		t.Error("the pod that moved is not heard")
	}
}
