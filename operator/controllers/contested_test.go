package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// contestedWorld has an attachment whose address another machine has, and a reconciler that is run by hand.
func contestedWorld(t *testing.T) (*world, *AttachmentReconciler, *events.FakeRecorder, *v1alpha1.PodNetworkAttachment) {
	w := newWorld(t)
	w.network("storage")
	pod := w.pod("a", "storage", "node1")
	pna := w.unsaved("a", "10.20.0.9/24")
	pna.Spec.Pod.UID = pod.UID
	w.must(w.Create(w.ctx, pna))
	w.contest(*pna, metav1.ConditionFalse)
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pna), pna))
	recorder := events.NewFakeRecorder(10)
	r := &AttachmentReconciler{Client: w.Client, Live: w.Client, Allocator: NewAllocator(), Events: recorder}
	close(r.Allocator.ready)
	return w, r, recorder, pna
}

func (w *world) isDeleting(pna *v1alpha1.PodNetworkAttachment) bool {
	w.t.Helper()
	var live v1alpha1.PodNetworkAttachment
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pna), &live))
	return !live.DeletionTimestamp.IsZero()
}

// An operator that ends at any point between has either the record or the attachment.
func TestContestedIsDeletedAfterTheRecord(t *testing.T) {
	w, r, recorder, pna := contestedWorld(t)
	for range 3 {
		result, err := r.replaceContested(w.ctx, pna)
		w.must(err)
		if result.RequeueAfter != recordPoll || w.isDeleting(pna) || len(recorder.Events) != 0 {
			t.Fatalf("result %+v, deleted %v, %d events before the record", result, w.isDeleting(pna), len(recorder.Events))
		}
	}
	w.recordAside(r.Allocator)
	result, err := r.replaceContested(w.ctx, pna)
	w.must(err)
	if !result.IsZero() || !w.isDeleting(pna) {
		t.Errorf("result %+v, deleted %v after the record", result, w.isDeleting(pna))
	}
	// The cache still shows it as it was.
	_, err = r.replaceContested(w.ctx, pna)
	w.must(err)
	if len(recorder.Events) != 2 {
		t.Fatalf("%d events, want one on the pod and one on the Network", len(recorder.Events))
	}
	if text := <-recorder.Events; !strings.Contains(text, v1alpha1.ReasonDuplicateAddress) || !strings.Contains(text, "10.20.0.9 ("+foreignMAC+")") {
		t.Errorf("event %q", text)
	}
}

// The agent attached after all, which the cache or even the last read does not show.
func TestContestedThatBecameReadyStays(t *testing.T) {
	w, r, _, pna := contestedWorld(t)
	_, err := r.replaceContested(w.ctx, pna)
	w.must(err)
	w.recordAside(r.Allocator)
	ready := pna.DeepCopy()
	ready.Status.Conditions[0].Status, ready.Status.Conflicts = metav1.ConditionTrue, nil
	w.must(w.Status().Patch(w.ctx, ready, client.MergeFrom(pna)))
	if _, err := r.replaceContested(w.ctx, pna); err != nil || w.isDeleting(pna) {
		t.Errorf("error %v, deleted %v", err, w.isDeleting(pna))
	}
	pod, network, err := r.podAndNetwork(w.ctx, pna)
	w.must(err)
	if err := r.endContested(w.ctx, pna, pod, network, decide.Conflicts(pna)); err == nil || w.isDeleting(pna) {
		t.Errorf("a delete of what was read before: error %v, deleted %v", err, w.isDeleting(pna))
	}
}

// recordAside plays the Network's reconciler.
func (w *world) recordAside(a *Allocator) {
	w.t.Helper()
	var n v1alpha1.Network
	w.must(w.Get(w.ctx, client.ObjectKey{Name: "storage"}, &n))
	aside, _ := a.Aside(n.Name, nil, metav1.Now().Time)
	before := n.DeepCopy()
	n.Status.SetAside = decide.SetAside(aside)
	w.must(w.Status().Patch(w.ctx, &n, client.MergeFrom(before)))
}
