package controllers

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"pgregory.net/rapid"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// actions are what may happen next. Names that differ by a number are the same action, to be chosen more often.
func (w *leadersWorld) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"":                func(*rapid.T) { w.check() },
		"bind pod":        w.bindPod,
		"delete pod":      func(t *rapid.T) { w.must(w.store.delete(choose(t, "pod", w.store.pods()), nil)) },
		"stop sandboxes":  func(*rapid.T) { w.stopSandboxes() },
		"collect garbage": func(*rapid.T) { w.collectGarbage() },
		"disturb":         w.disturb,
		"pass time": func(t *rapid.T) {
			pass(time.Duration(rapid.SampledFrom([]int{1, 4, 8, 16, 16, 400}).Draw(t, "seconds")) * time.Second)
		},
		"late create": func(t *rapid.T) { w.arrive(choose(t, "create", w.late)) },
	}
	for n := range 4 {
		actions[fmt.Sprint("agent ", n)] = func(t *rapid.T) { w.agentStep(choose(t, "attachment", w.store.attachments())) }
		actions[fmt.Sprint("create pod ", n)] = w.createPod
		for i := range w.operators {
			actions[fmt.Sprintf("operator %d %d", i, n)] = func(t *rapid.T) { w.operators[i].step(t) }
		}
	}
	if w.racks {
		w.rackActions(actions)
	}
	return actions
}

func (w *leadersWorld) createPod(t *rapid.T) {
	name, node := rapid.SampledFrom([]string{"p0", "p1", "p2", "p3"}).Draw(t, "pod"), ""
	if rapid.IntRange(0, 3).Draw(t, "bound") > 0 {
		node = choose(t, "node", w.store.nodes()).Name
	}
	_ = w.store.create(w.newPod(name, node))
}

func (w *leadersWorld) bindPod(t *rapid.T) {
	unbound := slices.DeleteFunc(w.store.pods(), func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
	pod := choose(t, "pod", unbound).DeepCopy()
	pod.Spec.NodeName = choose(t, "node", w.store.nodes()).Name
	w.must(w.store.update(pod))
}

// arrive: a request lives shorter than an attachment whose create was its own retry; the quarantine sees to that. So one
// that does not is of the kind against which only a probe helps.
func (w *leadersWorld) arrive(late lateCreate) {
	w.late = slices.DeleteFunc(w.late, func(c lateCreate) bool { return c == late })
	if !w.probes && time.Since(late.at) > leaseDuration {
		return // its context ended within the fence's window
	}
	outlived := slices.ContainsFunc(w.store.history[late.sent:], func(c storedChange) bool {
		return c.after == nil && keyFor(c.before) == keyFor(late.object)
	})
	if outlived && !w.probes {
		return
	}
	_ = w.store.create(late.object)
}

// disturb is what happens less often.
func (w *leadersWorld) disturb(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "operator")
	o := w.operators[i]
	switch rapid.SampledFrom([]string{"crash", "step down", "sweep", "delete attachment", "lose node", "add node"}).Draw(t, "what") {
	case "crash":
		w.restart(i, rapid.IntRange(1, len(w.store.history)).Draw(t, "cache"))
	case "step down":
		sent := slices.ContainsFunc(w.late, func(c lateCreate) bool { return c.identity == o.identity })
		if o.leads && (w.probes || !sent) {
			_ = o.fence.Update(w.ctx, resourcelock.LeaderElectionRecord{LeaderTransitions: w.lease.transitions})
			w.restart(i, o.seen)
		}
	case "sweep":
		if o.leads {
			o.rebuilder.sweep(w.ctx)
		}
	case "delete attachment":
		idle := slices.DeleteFunc(w.store.attachments(), func(p *v1alpha1.PodNetworkAttachment) bool { return w.runs(p.Spec.Pod.UID) })
		w.must(w.store.delete(choose(t, "attachment", idle), nil))
	case "lose node":
		w.loseNode(choose(t, "node", w.store.nodes()))
	case "add node":
		_ = w.store.create(nodeObject(rapid.SampledFrom([]string{"node1", "node2"}).Draw(t, "node")))
	}
}

func (w *leadersWorld) restart(i, seen int) { w.operators[i] = w.startOperator(w.identity(), seen) }

// step is some work of one operator: its cache sees a few events or none, and it reconciles a few objects.
func (o *operatorProcess) step(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "renew") > 0 {
		o.renew()
	}
	for n := rapid.SampledFrom([]int{0, 1, 3, 100}).Draw(t, "events"); n > 0 && o.behind(); n-- {
		o.next()
	}
	if !o.leads {
		return
	}
	for n := rapid.IntRange(0, 3).Draw(t, "pods"); n > 0 && len(o.podQueue) > 0; n-- {
		_ = o.reconcilePod(choose(t, "pod", o.podQueue))
		o.world.check()
	}
	for n := rapid.IntRange(0, 2).Draw(t, "claims"); n > 0 && len(o.claimQueue) > 0; n-- {
		_ = o.reconcileClaim(choose(t, "claim", o.claimQueue))
		o.world.check()
	}
	for n := rapid.IntRange(0, 2).Draw(t, "attachments"); n > 0 && len(o.attachmentQueue) > 0; n-- {
		_ = o.reconcileAttachment(choose(t, "attachment", o.attachmentQueue))
	}
}
