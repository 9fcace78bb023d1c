package controllers

import (
	"context"
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// No write outlives the lease: then no two attachments ever record one address, whatever the agents do.
func TestLeadersNeverRecordAnAddressTwice(t *testing.T) { checkLeaders(t, false) }

// A create arrives at any time, long after another operator leads: then agents that probe keep two from being Ready,
// and the leader replaces one of the two.
func TestLateWritesNeverMakeTwoReady(t *testing.T) { checkLeaders(t, true) }

func checkLeaders(t *testing.T, probes bool) {
	steps := flag.Lookup("rapid.steps")
	was := steps.Value.String()
	_ = steps.Value.Set("100")
	t.Cleanup(func() { _ = steps.Value.Set(was) })
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func(ctx context.Context) {
			w := newLeadersWorld(ctx, rt, probes)
			rt.Repeat(w.actions())
			w.settle()
		})
	})
}

// inBubble runs f with a clock of its own. A check of rapid fails by panic, which has to reach rapid.
func inBubble(t *testing.T, f func(context.Context)) {
	var failure any
	synctest.Test(t, func(t *testing.T) {
		defer func() { failure = recover() }()
		f(t.Context())
	})
	if failure != nil {
		panic(failure)
	}
}

// choose one of several, or give the step up.
func choose[T any](t *rapid.T, what string, from []T) T {
	if len(from) == 0 {
		t.Skip()
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

func (w *leadersWorld) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"": func(*rapid.T) { w.check() },
		"pass time": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 4, 8, 16, 400}).Draw(t, "seconds")) * time.Second)
		},
		"create pod": func(t *rapid.T) {
			name, node := rapid.SampledFrom([]string{"p0", "p1", "p2", "p3"}).Draw(t, "pod"), ""
			if !rapid.Bool().Draw(t, "unbound") {
				node = choose(t, "node", w.store.nodes()).Name
			}
			_ = w.store.create(w.newPod(name, node))
		},
		"bind pod": func(t *rapid.T) {
			unbound := slices.DeleteFunc(w.store.pods(), func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
			pod := choose(t, "pod", unbound).DeepCopy()
			pod.Spec.NodeName = choose(t, "node", w.store.nodes()).Name
			w.must(w.store.update(pod))
		},
		"delete pod": func(t *rapid.T) { w.must(w.store.delete(choose(t, "pod", w.store.pods()), nil)) },
		"delete attachment": func(t *rapid.T) {
			idle := slices.DeleteFunc(w.store.attachments(), func(p *v1alpha1.PodNetworkAttachment) bool { return w.runs(p.Spec.Pod.UID) })
			w.must(w.store.delete(choose(t, "attachment", idle), nil))
		},
		"stop sandboxes":  func(*rapid.T) { w.stopSandboxes() },
		"collect garbage": func(*rapid.T) { w.collectGarbage() },
		"lose node":       func(t *rapid.T) { w.loseNode(choose(t, "node", w.store.nodes())) },
		"add node": func(t *rapid.T) {
			_ = w.store.create(nodeObject(rapid.SampledFrom([]string{"node1", "node2"}).Draw(t, "node")))
		},
		"late create": func(t *rapid.T) {
			late := choose(t, "create", w.late)
			w.late = slices.DeleteFunc(w.late, func(c lateCreate) bool { return c == late })
			_ = w.store.create(late.pna)
		},
	}
	// Twice, so that agents and operators come about as often as what disturbs them.
	for _, name := range []string{"agent", "agent again"} {
		actions[name] = func(t *rapid.T) { w.agentStep(choose(t, "attachment", w.store.attachments())) }
	}
	for i, name := range []string{"A", "B"} {
		w.addOperator(actions, i, name)
	}
	return actions
}

func (w *leadersWorld) addOperator(actions map[string]func(*rapid.T), i int, name string) {
	actions[name+" sees"] = func(t *rapid.T) {
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			if w.operators[i].behind() {
				w.operators[i].next()
			}
		}
	}
	actions[name+" sees all"] = func(*rapid.T) { w.operators[i].catchUp() }
	actions[name+" renews"] = func(*rapid.T) { w.operators[i].renew() }
	actions[name+" plans pod"] = func(t *rapid.T) { _ = w.operators[i].reconcilePod(choose(t, "pod", w.operators[i].podQueue)) }
	actions[name+" plans another"] = actions[name+" plans pod"]
	actions[name+" checks attachment"] = func(t *rapid.T) {
		_ = w.operators[i].reconcileAttachment(choose(t, "attachment", w.operators[i].attachmentQueue))
	}
	actions[name+" sweeps"] = func(t *rapid.T) {
		if !w.operators[i].leads {
			t.Skip()
		}
		w.operators[i].rebuilder.sweep(w.ctx)
	}
	actions[name+" crashes"] = func(t *rapid.T) { w.restart(i, rapid.IntRange(1, len(w.store.history)).Draw(t, "cache")) }
	actions[name+" steps down"] = func(t *rapid.T) {
		o := w.operators[i]
		sent := slices.ContainsFunc(w.late, func(c lateCreate) bool { return c.identity == o.identity })
		if !o.leads || !w.probes && sent {
			t.Skip()
		}
		_ = o.fence.Update(w.ctx, resourcelock.LeaderElectionRecord{LeaderTransitions: w.lease.transitions})
		w.restart(i, len(w.store.history))
	}
}

func (w *leadersWorld) restart(i, seen int) { w.operators[i] = w.startOperator(w.identity(), seen) }

// settle ends all disturbances and looks at what is left when everybody has done their work.
func (w *leadersWorld) settle() {
	w.calm = true
	for _, late := range w.late {
		_ = w.store.create(late.pna)
	}
	w.late = nil
	leader := w.elect()
	// What carries traffic is never taken away: where a duplicate was attached but not yet Ready, a person has to choose.
	for _, pna := range w.store.attachments() {
		if pod := w.store.pod(pna.Spec.Pod.UID); pod != nil && !pna.DeletionTimestamp.IsZero() && w.runs(pod.UID) {
			w.must(w.store.delete(pod, nil))
		}
	}
	w.work(leader)
	time.Sleep(sweepPeriod + time.Second)
	leader.renew()
	leader.rebuilder.sweep(w.ctx)
	w.work(leader)
	time.Sleep(sweepPeriod + time.Second)
	leader.renew()
	leader.rebuilder.sweep(w.ctx)
	w.work(leader)
	w.checkSettled(leader)
}

// elect leaves one leader: the one that is, with the books that it has, or a new process.
func (w *leadersWorld) elect() *operatorProcess {
	for i, o := range w.operators {
		if o.leads && o.identity == w.lease.holder {
			w.restart(1-i, len(w.store.history))
			return o
		}
	}
	time.Sleep(leaseDuration)
	w.restart(0, len(w.store.history))
	w.restart(1, len(w.store.history))
	return w.operators[0]
}

// work until nothing is left to do.
func (w *leadersWorld) work(leader *operatorProcess) {
	for round := 0; ; round++ {
		before := len(w.store.history)
		leader.renew()
		leader.catchUp()
		for _, key := range slices.Clone(leader.podQueue) {
			w.must(leader.reconcilePod(key))
			w.check()
		}
		for _, key := range slices.Clone(leader.attachmentQueue) {
			w.must(leader.reconcileAttachment(key))
			w.check()
		}
		w.stopSandboxes()
		w.collectGarbage()
		for _, pna := range w.store.attachments() {
			w.agentStep(pna)
			w.check()
		}
		if len(w.store.history) == before && !leader.behind() && len(leader.podQueue)+len(leader.attachmentQueue) == 0 {
			return
		}
		if round > 100 {
			w.t.Fatal("the world does not come to rest")
		}
	}
}

func (w *leadersWorld) checkSettled(leader *operatorProcess) {
	perPod, holder := map[types.UID]int{}, map[string]string{}
	for _, pna := range w.store.attachments() {
		perPod[pna.Spec.Pod.UID]++
		if w.store.pod(pna.Spec.Pod.UID) == nil {
			w.t.Errorf("%s is left of a pod that is gone", pna.Name)
		}
		for _, key := range addressKeys(pna) {
			if holder[key] != "" {
				w.t.Errorf("%s is held by %s and %s", key, holder[key], pna.Name)
			}
			holder[key] = pna.Name
		}
	}
	bound := 0
	for _, pod := range w.store.pods() {
		if pod.Spec.NodeName == "" {
			continue
		}
		if bound++; perPod[pod.UID] != 1 {
			w.t.Errorf("pod %s has %d attachments", client.ObjectKeyFromObject(pod), perPod[pod.UID])
		}
	}
	usage := leader.allocator.Usage("n")
	if int(usage.Attachments) != bound || usage.Reserved != 0 || len(leader.allocator.networks["n"].pool.Usage()) != 1 {
		w.t.Errorf("%d pods, but the books say %+v", bound, usage)
	}
}
