package overlay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// world is a node's kernel and an API server around a Manager, in the bubble of a test.
type world struct {
	t       *testing.T
	manager *Manager
	cancel  context.CancelFunc

	mu sync.Mutex
	// api is what the API server has; it answers when it is up.
	api      map[types.NamespacedName]*v1alpha1.PodNetworkAttachment
	up       bool
	watchers map[watch.RackReceiver]bool
	// link is 0 where there is none; fib is what it has.
	link, lastLink int
	fib            *fib
	guards         map[int]plumb.Guard
	// log is what the kernel was told, in its order.
	log []string
	calls
	// fail has a step of the kernel fail, takes makes each slow.
	fail  map[string]error
	takes time.Duration
}

// calls are how often something was done.
type calls struct{ watched, dumps, ensured, remade int }

func (w *world) counted() calls {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, api: map[types.NamespacedName]*v1alpha1.PodNetworkAttachment{}, up: true, watchers: map[watch.RackReceiver]bool{},
		fib: newFIB(), guards: map[int]plumb.Guard{}, fail: map[string]error{},
	}
	w.restart()
	t.Cleanup(w.end)
	return w
}

// restart begins a new process of the agent, after the end of the former.
func (w *world) restart() {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(w.t.Context())
	w.manager = New(ctx, Options{
		Log: logr.Discard(), NodeName: self, Watch: w.watch, Node: w, Remade: func() { w.set(func() { w.remade++ }) },
	})
}

// end is the end of the agent, which leaves the kernel as it is.
func (w *world) end() {
	w.cancel()
	synctest.Wait()
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// watch lists as soon as the API server is up.
func (w *world) watch(ctx context.Context, _, _ string, to watch.RackReceiver) {
	w.set(func() { w.watched++ })
	for {
		w.mu.Lock()
		if w.up {
			break
		}
		w.mu.Unlock()
		to.Failed(fmt.Errorf("connection refused"))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
	to.Replace(slices.Collect(maps.Values(w.api)))
	w.watchers[to] = true
	w.mu.Unlock()
	<-ctx.Done()
	w.set(func() { delete(w.watchers, to) })
}

func (w *world) write(all ...*v1alpha1.PodNetworkAttachment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pna := range all {
		w.api[types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name}] = pna
		for to := range w.watchers {
			to.Set(pna)
		}
	}
}

func (w *world) delete(pna *v1alpha1.PodNetworkAttachment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.api, types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name})
	for to := range w.watchers {
		to.Remove(pna.Namespace, pna.Name)
	}
}

// step is one call of the kernel.
func (w *world) step(name, text string) error {
	time.Sleep(w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	if text != "" {
		w.log = append(w.log, text)
	}
	return w.fail[name]
}

// Node.
func (w *world) EnsureOverlay(o plan.Overlay) (plumb.Uplink, bool, error) {
	w.set(func() { w.ensured++ })
	if err := errors.Join(w.step("link", ""), w.step("link from "+o.Local.String(), "")); err != nil {
		return plumb.Uplink{}, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	created := w.link == 0
	if created {
		w.lastLink++
		w.link, w.fib = w.lastLink, newFIB()
		w.log = append(w.log, fmt.Sprintf("link %d", o.VNI))
	}
	return plumb.Uplink{Index: w.link, MTU: 1450}, created, nil
}

func (w *world) Entries(int) ([]plumb.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dumps++
	return w.fib.list(), w.fail["dump"]
}

func (w *world) Program(link int, add, remove []plumb.Entry) error {
	if err := w.step("entries", fmt.Sprintf("entries +%d -%d", len(add), len(remove))); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if link != w.link {
		return fmt.Errorf("link %d: no such device", link)
	}
	w.fib.program(add, remove)
	return nil
}

func (w *world) Guards() ([]plumb.Guard, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.guards)), w.fail["guards"]
}

func (w *world) EnsureGuards(list []plumb.Guard) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail["guard"] != nil {
		return w.fail["guard"]
	}
	wanted := map[int]plumb.Guard{}
	for _, g := range list {
		wanted[g.VNI] = g
	}
	same := func(a, b plumb.Guard) bool { return a.Port == b.Port && slices.Equal(a.Members, b.Members) }
	if !maps.EqualFunc(w.guards, wanted, same) {
		w.guards = wanted
		w.log = append(w.log, "guards")
	}
	return nil
}

func (w *world) UpdateGuard(vni int, add, remove []netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail["guard"] != nil {
		return w.fail["guard"]
	}
	g, ok := w.guards[vni]
	if !ok {
		return fmt.Errorf("no such file or directory")
	}
	g.Members = slices.DeleteFunc(slices.Concat(g.Members, add), func(a netip.Addr) bool { return slices.Contains(remove, a) })
	slices.SortFunc(g.Members, netip.Addr.Compare)
	w.guards[vni] = g
	w.log = append(w.log, fmt.Sprintf("member +%d -%d", len(add), len(remove)))
	return nil
}

// told returns what the kernel was told since the last time.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return log
}

// right fails the test where the kernel is not as the API server says.
func (w *world) right() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	claims := map[types.NamespacedName]*claim{}
	members := map[netip.Addr]bool{}
	for name, pna := range w.api {
		if c, _ := claimOf(pna, self, rack1); c != nil {
			claims[name] = c
			if !c.local() {
				members[c.via] = true
			}
		}
	}
	if want, got := desired(claims), setOfEntries(w.fib.list()); !maps.Equal(want, got) {
		w.t.Errorf("the link has %v, want %v", got, want)
	}
	if want, got := members, setOf(w.guards[rack1.VNI].Members); !maps.Equal(want, got) {
		w.t.Errorf("members are %v, want %v", got, want)
	}
	if w.guards[rack1.VNI].Port != rack1.Port {
		w.t.Errorf("the guard is %+v", w.guards[rack1.VNI])
	}
}

// ensure waits for rack1.
func (w *world) ensure() {
	w.t.Helper()
	if err := w.manager.Ensure(w.t.Context(), rack1); err != nil {
		w.t.Fatal(err)
	}
}

func planned(list ...plan.Overlay) func() ([]plan.Overlay, bool) {
	return func() ([]plan.Overlay, bool) { return list, true }
}
