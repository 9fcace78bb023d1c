package controllers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settle ends all disturbances and looks at what is left when everybody has done their work.
func (w *leadersWorld) settle() {
	w.calm = true
	for len(w.late) > 0 {
		w.arrive(w.late[0])
	}
	leader := w.elect()
	w.work(leader)
	pass(sweepPeriod + time.Second)
	leader.renew()
	leader.rebuilder.sweep(w.ctx)
	w.work(leader)
	// Claims are first found to be unused, then recorded as such, then over.
	for range 3 {
		pass(retention)
		for _, claim := range w.store.claims() {
			enqueueOnce(&leader.claimQueue, client.ObjectKeyFromObject(claim))
		}
		w.work(leader)
	}
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
	pass(leaseDuration)
	w.restart(0, len(w.store.history))
	w.restart(1, len(w.store.history))
	return w.operators[0]
}

// choosePods is a person: what carries traffic is never taken away, so that where a duplicate was attached but not yet
// Ready, somebody has to delete a pod.
func (w *leadersWorld) choosePods() {
	for _, pna := range w.store.attachments() {
		if pod := w.store.pod(pna.Spec.Pod.UID); w.probes && pod != nil && !pna.DeletionTimestamp.IsZero() && w.runs(pod.UID) {
			w.must(w.store.delete(pod, nil))
		}
	}
}

// work until nothing is left to do.
func (w *leadersWorld) work(leader *operatorProcess) {
	for round := 0; ; round++ {
		before := len(w.store.history)
		leader.renew()
		leader.catchUp()
		wait := w.workOnRacks(leader)
		for _, key := range slices.Clone(leader.podQueue) {
			w.must(leader.reconcilePod(key))
			w.check()
		}
		for _, key := range slices.Clone(leader.claimQueue) {
			w.must(leader.reconcileClaim(key))
			w.check()
		}
		for _, key := range slices.Clone(leader.attachmentQueue) {
			w.must(leader.reconcileAttachment(key))
			w.check()
		}
		w.choosePods()
		w.stopSandboxes()
		w.collectGarbage()
		for _, pna := range w.store.attachments() {
			w.agentStep(pna)
			w.check()
		}
		if !wait && len(w.store.history) == before && !leader.behind() && len(leader.podQueue)+len(leader.attachmentQueue)+len(leader.claimQueue) == 0 {
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
	if w.racks {
		w.checkRacksSettled(leader, perPod)
		return
	}
	held := w.claimed(leader)
	maps.Copy(held, holder)
	for _, pod := range w.store.pods() {
		if pod.Spec.NodeName != "" && (perPod[pod.UID] > 1 || perPod[pod.UID] == 0 && len(held) < w.capacity) {
			w.t.Errorf("pod %s has %d attachments", client.ObjectKeyFromObject(pod), perPod[pod.UID])
		}
	}
	usage := leader.allocator.Usage("n")
	if int(usage.Attachments) != len(holder) || usage.Reserved != 0 || usage.Ranges[0].Allocated != fmt.Sprint(len(held)) {
		w.t.Errorf("%d attachments and %d addresses in use, but the books say %+v", len(holder), len(held), usage)
	}
}

// claimed returns what is kept, for pods that exist. With writes that arrive late two claims may name one address: that of
// the younger one is made anew when its pod is.
func (w *leadersWorld) claimed(leader *operatorProcess) map[string]string {
	held := map[string]string{}
	for _, claim := range w.store.claims() {
		key := "n/" + claim.Spec.Addresses[0]
		if held[key] != "" && !w.probes {
			w.t.Errorf("%s is kept by %s and %s", key, held[key], claim.Name)
		}
		held[key] = claim.Name
		pod := w.store.objects[storedKey{"*v1.Pod", types.NamespacedName{Namespace: claim.Namespace, Name: claim.Spec.PodName}}]
		if pod == nil || !leader.allocator.Holds(claim.UID) {
			w.t.Errorf("claim %s is left, pod %v", claim.Name, pod)
		}
	}
	return held
}
