package overlay

import (
	"context"
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

// machine is a node with a kernel of its own, as far as overlays go, and a Manager on it.
type machine struct {
	t       testing.TB
	ns      *kernel.Namespace
	manager *Manager
	// to receives what the API server tells, once it is there.
	to     watch.RackReceiver
	listed sync.WaitGroup
	remade chan struct{}
}

// newMachine has the address of rack1, and is told of the list when it is first asked for.
func newMachine(t testing.TB, list []*v1alpha1.PodNetworkAttachment) *machine {
	kerneltest.RequireRoot(t, "VXLAN links in network namespaces")
	m := &machine{t: t, ns: kerneltest.Namespace(t, "node"), remade: make(chan struct{}, 10)}
	kerneltest.Cable(t, m.ns, "eth0", kerneltest.Namespace(t, "other"), "far0")
	kerneltest.Address(t, m.ns, "eth0", rack1.Local.String()+"/24")
	m.listed.Add(1)
	tell := func(ctx context.Context, _, _ string, to watch.RackReceiver) {
		to.Replace(list)
		m.to = to
		m.listed.Done()
		<-ctx.Done()
	}
	links := attach.New(attach.Options{NodeNamespace: m.ns.Path()})
	ctx, cancel := context.WithCancel(context.Background())
	m.manager = New(ctx, Options{
		Log: logr.Discard(), NodeName: self, Watch: tell, Remade: func() { m.remade <- struct{}{} },
		Node: NewNode(links, func() (*kernel.Namespace, error) { return m.ns, nil }),
	})
	t.Cleanup(func() { cancel(); m.manager.Keep(func() ([]plan.Overlay, bool) { return nil, true }) })
	if err := m.manager.Ensure(t.Context(), rack1); err != nil {
		t.Fatal(err)
	}
	m.listed.Wait()
	return m
}

func (m *machine) entries() []plumb.Entry {
	m.t.Helper()
	link, err := plumb.FindOverlay(m.ns, rack1)
	if err != nil {
		return nil
	}
	entries, err := plumb.Entries(m.ns, link.Index)
	if err != nil {
		m.t.Fatal(err)
	}
	return entries
}

func (m *machine) members() []netip.Addr {
	m.t.Helper()
	guards, err := plumb.Guards(m.ns)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(guards) != 1 {
		return nil
	}
	return guards[0].Members
}

// The kernel follows what the API server tells, and gets back what it loses.
func TestKernelFollows(t *testing.T) {
	second := attachment("b", "node-c", "172.18.0.4", "02:00:00:00:00:0b", "10.1.0.11/24")
	m := newMachine(t, []*v1alpha1.PodNetworkAttachment{remote()})
	both := []netip.Addr{netip.MustParseAddr("172.18.0.3"), netip.MustParseAddr("172.18.0.4")}
	if got := m.entries(); len(got) != 3 || !slices.Equal(m.members(), both[:1]) {
		t.Fatalf("after the list: %v, members %v", got, m.members())
	}
	began := time.Now()
	m.to.Set(second)
	kerneltest.Eventually(t, "the entries of a pod that appears", func() bool { return len(m.entries()) == 5 })
	t.Logf("a pod that appears is known after %s at most", time.Since(began))
	if got := m.members(); !slices.Equal(got, both) {
		t.Errorf("members %v", got)
	}
	moved := attachment("a2", "node-c", "172.18.0.4", "02:00:00:00:00:0a", "10.1.0.10/24")
	moved.CreationTimestamp.Time = firstDay.Add(time.Hour)
	m.to.Set(moved)
	here := plumb.Entry{MAC: plumb.MAC{2, 0, 0, 0, 0, 0xa}, Via: both[1]}
	kerneltest.Eventually(t, "the MAC on the node that the pod came to", func() bool { return slices.Contains(m.entries(), here) })
	m.to.Remove("ns", "a")
	kerneltest.Eventually(t, "only what the pods that are left have", func() bool { return len(m.entries()) == 4 })
	kerneltest.Eventually(t, "only the node that has pods", func() bool { return slices.Equal(m.members(), both[1:]) })

	kerneltest.Remove(t, m.ns, plumb.OverlayName(rack1.VNI))
	m.manager.LinkChanged(plumb.OverlayName(rack1.VNI))
	<-m.remade
	if err := m.manager.Ensure(t.Context(), rack1); err != nil || len(m.entries()) != 4 {
		t.Errorf("the link made anew has %v, %v", m.entries(), err)
	}
	m.manager.Keep(planned())
	if guards, err := plumb.Guards(m.ns); err != nil || len(guards) != 0 {
		t.Errorf("guards %v, %v after the end", guards, err)
	}
}

// An agent that starts changes nothing of what is right.
func TestKernelIsLeftAlone(t *testing.T) {
	list := append(many(200), remote())
	m := newMachine(t, list)
	before, members := setOfEntries(m.entries()), m.members()
	restarted := newSpy(NewNode(attach.New(attach.Options{NodeNamespace: m.ns.Path()}), func() (*kernel.Namespace, error) { return m.ns, nil }))
	ctx, cancel := context.WithCancel(t.Context())
	again := New(ctx, Options{
		Log: logr.Discard(), NodeName: self, Node: restarted, Remade: func() { t.Error("told that the link was gone") },
		Watch: func(ctx context.Context, _, _ string, to watch.RackReceiver) { to.Replace(list); <-ctx.Done() },
	})
	again.Start([]plan.Overlay{rack1})
	err := again.Ensure(t.Context(), rack1)
	cancel()
	for _, s := range again.segments {
		<-s.ended
	}
	if err != nil || restarted.programmed != 0 {
		t.Errorf("programmed %d entries: %v", restarted.programmed, err)
	}
	if after := setOfEntries(m.entries()); len(after) != len(before) || len(before) != 403 || !slices.Equal(m.members(), members) {
		t.Errorf("%d entries before, %d after; members %v", len(before), len(after), m.members())
	}
}

// spy counts the entries that are programmed.
type spy struct {
	Node
	programmed int
}

func newSpy(n Node) *spy { return &spy{Node: n} }

func (s *spy) Program(link int, add, remove []plumb.Entry) error {
	s.programmed += len(add) + len(remove)
	return s.Node.Program(link, add, remove)
}

// Events cost the same in a rack of any size, and a full reconciliation of a large one little.
func BenchmarkManager(b *testing.B) {
	for name, size := range map[string]int{"20 pods": 20, "20000 pods": 20000} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b, many(size))
			s := m.manager.segments[identity(rack1)]
			s.stop() // its own rounds: those below are measured
			b.Run("event", func(b *testing.B) {
				for i := range b.N {
					pna := remote()
					pna.Spec.MAC = []string{"02:00:00:00:00:0a", "02:00:00:00:00:0b"}[i%2]
					s.Set(pna)
					if err := s.round(); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("reconcile", func(b *testing.B) {
				for range b.N {
					s.mark(func() { s.full = true })
					if err := s.round(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
