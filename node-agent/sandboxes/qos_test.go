package sandboxes

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// fakeShaper is a node that has in force what was applied last.
type fakeShaper struct {
	mu       sync.Mutex
	applied  []plan.Attachment
	complete bool
	times    int
	// more is what the next Apply tells.
	more bool
}

func (s *fakeShaper) Apply(all []plan.Attachment, complete bool) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied, s.complete, s.times = all, complete, s.times+1
	more, s.more = s.more, false
	return more
}

// last is what was last applied.
func (s *fakeShaper) last() []plan.Attachment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

func (s *fakeShaper) Report(a plan.Attachment) (r plan.QoSReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, now := range s.applied {
		if now.Name == a.Name && now.QoS != nil {
			r.Egress = now.QoS.Egress
			return r
		}
	}
	return a.QoS.NotEnforced(v1alpha1.ReasonQoSFailed, "not applied")
}

// maximum is that of the one attachment as last applied.
func (s *fakeShaper) maximum() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.applied) != 1 || s.applied[0].QoS == nil {
		return 0
	}
	return s.applied[0].QoS.Egress.Maximum
}

// goldOrder asks for a class whose maximum is given in Mbit/s.
func goldOrder(maximum int64) *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	quantity := resource.NewQuantity(maximum*1_000_000, resource.DecimalSI)
	pna.Spec.QoS = &v1alpha1.ResolvedQoS{ClassName: "gold", QoSClassSpec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Maximum: quantity}}}
	return pna
}

// lastQoS is what was last reported of the pod's class.
func (w *world) lastQoS() *plan.QoSReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.reports) == 0 {
		return nil
	}
	return w.reports[len(w.reports)-1].Interfaces[0].QoS
}

func startedGold(t *testing.T, w *world) {
	t.Helper()
	w.keeper.Synchronize(nil)
	w.order(goldOrder(20))
	if err := w.keeper.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := w.shaper.maximum(); got != 20_000_000 {
		t.Errorf("before the sandbox is there, a maximum of %d is in force", got)
	}
	w.namespace(box.NetNS)
	if err := w.keeper.RunSandbox(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// A class is in force before the pod starts, follows its order while the pod runs, and goes with it.
func TestQoSOfAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		startedGold(t, w)
		if diff := cmp.Diff(&plan.QoSReport{Egress: plan.Bandwidth{Maximum: 20_000_000}}, w.lastQoS()); diff != "" {
			t.Errorf("reported (-want +got)\n%s", diff)
		}
		w.order(goldOrder(50))
		synctest.Wait()
		if got := w.shaper.maximum(); got != 50_000_000 {
			t.Errorf("after a change a maximum of %d is in force", got)
		}
		if diff := cmp.Diff(&plan.QoSReport{Egress: plan.Bandwidth{Maximum: 50_000_000}}, w.lastQoS()); diff != "" {
			t.Errorf("reported after a change (-want +got)\n%s", diff)
		}
		w.set(func() {
			if got := w.ledger[box.PodUID].Attachments[0].QoS; got == nil || got.Egress.Maximum != 50_000_000 {
				t.Errorf("the ledger has %+v", got)
			}
		})
		deleted := goldOrder(50)
		deleted.DeletionTimestamp, deleted.Finalizers = deletedOrder().DeletionTimestamp, deletedOrder().Finalizers
		w.order(deleted)
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		if len(w.shaper.applied) != 0 || !w.shaper.complete {
			t.Errorf("after the pod is gone: %+v, complete %v", w.shaper.applied, w.shaper.complete)
		}
	})
}

// An agent that starts has in force what its ledger says before anything else, and removes nothing before it knows all sandboxes.
func TestQoSAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t)
		startedGold(t, first)
		second := newWorld(t, first.ledger[box.PodUID])
		if second.shaper.maximum() != 20_000_000 || second.shaper.complete {
			t.Errorf("at the start: %+v, complete %v", second.shaper.applied, second.shaper.complete)
		}
		// Meanwhile the class has changed, and the API server knows nothing of it.
		order := goldOrder(30)
		order.Status.SandboxID = box.ID
		second.order(order)
		second.namespace(box.NetNS)
		second.set(func() { second.links[box.NetNS]["net1"] = true })
		second.keeper.Synchronize([]Sandbox{box})
		synctest.Wait()
		time.Sleep(verifyEvery)
		synctest.Wait()
		if got := second.shaper.maximum(); got != 30_000_000 || !second.shaper.complete {
			t.Errorf("a maximum of %d is in force, complete %v", got, second.shaper.complete)
		}
		if diff := cmp.Diff(&plan.QoSReport{Egress: plan.Bandwidth{Maximum: 30_000_000}}, second.lastQoS()); diff != "" {
			t.Errorf("reported (-want +got)\n%s", diff)
		}
	})
}

// A hook does not wait for the programs on the pod's links. Its containers do, and over CNI the call itself.
func TestGuardsFollowTheHook(t *testing.T) {
	const takes = 40 * time.Millisecond
	for door, waits := range map[Door]time.Duration{DoorNRI: 0, DoorCNI: takes} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.keeper.Door, w.guardTakes = door, takes
			w.keeper.Synchronize(nil)
			w.order(goldOrder(20))
			if err := w.keeper.Prepare(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			w.namespace(box.NetNS)
			synctest.Wait() // for its addresses to be probed
			time.Sleep(time.Second)
			begin := time.Now()
			if err := w.keeper.RunSandbox(t.Context(), box); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != waits {
				t.Errorf("%s: the hook took %s, want %s", door, took, waits)
			}
			if _, err := w.keeper.CheckSandbox(t.Context(), box); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != takes {
				t.Errorf("%s: a container came after %s, want %s", door, took, takes)
			}
			w.set(func() {
				if diff := cmp.Diff([]string{box.NetNS + " net1"}, w.guarded); diff != "" {
					t.Errorf("%s: guarded (-want +got)\n%s", door, diff)
				}
			})
		})
	}
}

// Pods that run without a class on a link that gets its first one are looked at again: they get their programs.
func TestQoSAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		for more, want := range map[bool]int{true: 1, false: 0} {
			before := w.checked()
			w.shaper.mu.Lock()
			w.shaper.more = more
			w.shaper.mu.Unlock()
			w.keeper.shape()
			synctest.Wait()
			if got := w.checked() - before; got != want {
				t.Errorf("looked at the pod %d times where pods may lack something: %v", got, more)
			}
		}
		if w.lastQoS() != nil {
			t.Error("a pod without a class was reported to have one")
		}
	})
}

func (w *world) checked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.compared
}
