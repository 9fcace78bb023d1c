package controllers

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// candidate starts an operator with leader election.
func (w *world) candidate(identity string) (*Fence, func()) {
	w.t.Helper()
	lease, renew, retry := 4*time.Second, 3*time.Second, 200*time.Millisecond
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, w.namespace, "multinet-operator",
		resourcelock.ResourceLockConfig{Identity: identity}, w.config, renew)
	w.must(err)
	fence := NewFence(lock, renew)
	stop := w.startManagerWith(fence, func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionReleaseOnCancel, o.LeaderElectionResourceLockInterface = true, true, fence
		o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = &lease, &renew, &retry
	})
	return fence, stop
}

func TestLeaderChange(t *testing.T) {
	w := newWorld(t)
	w.network("storage")
	first, stop := w.candidate("first")
	before := w.attached(w.pod("a", "storage", "node1"), 1)["net1"]
	second, _ := w.candidate("second")
	if open(second) {
		t.Error("the standby's fence is open")
	}
	if !open(first) {
		t.Error("the leader's fence is closed")
	}
	stop()
	if open(first) {
		t.Error("the fence is open after the lease was given up")
	}
	after := w.attached(w.pod("b", "storage", "node1"), 1)["net1"]
	if !open(second) || addressList(after) == addressList(before) {
		t.Errorf("second leader gave out %s, the first %s", addressList(after), addressList(before))
	}
}

// A leader that could not renew creates nothing, and keeps the reservation for when it can again.
func TestClosedFenceCreatesNothing(t *testing.T) {
	w := newWorld(t)
	r := &PodReconciler{Client: w.Client, Live: w.Client, Allocator: configured(t, "10.0.0.0/24"), Fence: NewFence(&slowLock{}, time.Second)}
	pna := w.unsaved("a", "10.0.0.1/24")
	if _, err := r.Allocator.Reserve([]Want{{Network: "n", Key: client.ObjectKeyFromObject(pna)}}, now0); err != nil {
		t.Fatal(err)
	}
	if err := r.createOne(w.ctx, pna); !errors.Is(err, ErrFenced) {
		t.Fatalf("error is %v", err)
	}
	var list v1alpha1.PodNetworkAttachmentList
	w.must(w.List(w.ctx, &list))
	if len(list.Items) != 0 || r.Allocator.Usage("n").Reserved != 1 {
		t.Errorf("%d created, %d reserved", len(list.Items), r.Allocator.Usage("n").Reserved)
	}
}

// The create of an earlier leader, or one of ours whose answer was lost: its addresses count.
func TestCreateAdoptsWhatIsStored(t *testing.T) {
	w := newWorld(t)
	r := &PodReconciler{Client: w.Client, Live: w.Client, Allocator: configured(t, "10.0.0.0/24")}
	w.foreign("a", "10.0.0.9/24", false)
	ours := w.unsaved("a", "10.0.0.1/24")
	if _, err := r.Allocator.Reserve([]Want{{Network: "n", Key: client.ObjectKeyFromObject(ours)}}, now0); err != nil {
		t.Fatal(err)
	}
	w.must(r.createOne(w.ctx, ours))
	if usage := r.Allocator.Usage("storage"); usage.Attachments != 1 || len(usage.Outside) != 1 {
		t.Errorf("the stored one is not known: %+v", usage)
	}
	if usage := r.Allocator.Usage("n"); usage.Reserved != 0 || usage.Ranges[0].Allocated != "0" {
		t.Errorf("the reservation is left: %+v", usage)
	}
	other := w.unsaved("a", "10.0.0.1/24")
	other.Spec.Pod.UID = "another"
	if err := r.createOne(w.ctx, other); err == nil {
		t.Error("took over the attachment of another pod")
	}
}

// An outcome that is known for certain frees the addresses at once.
func TestRefusedCreateFreesTheReservation(t *testing.T) {
	w := newWorld(t)
	r := &PodReconciler{Client: w.Client, Live: w.Client, Allocator: configured(t, "10.0.0.0/24")}
	invalid := w.unsaved("a", "10.0.0.1/24")
	invalid.Spec.MAC = "no MAC"
	if _, err := r.Allocator.Reserve([]Want{{Network: "n", Key: client.ObjectKeyFromObject(invalid)}}, now0); err != nil {
		t.Fatal(err)
	}
	if err := r.createOne(w.ctx, invalid); err == nil {
		t.Fatal("created")
	}
	if usage := r.Allocator.Usage("n"); usage.Reserved != 0 || usage.Ranges[0].Allocated != "0" {
		t.Errorf("still reserved: %+v", usage)
	}
}

// A pod's owner must not be told about a refusal again and again.
func TestRefusalIsWrittenOnce(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	pod := w.pod("a", "absent", "node1")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork)
	var before, after corev1.Pod
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pod), &before))
	// Wakes every pod that waits; the second one shows that the wake-up is over.
	w.must(w.Create(w.ctx, &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}}))
	w.planned(w.pod("b", "absent", "node1"), corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork)
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pod), &after))
	if before.ResourceVersion != after.ResourceVersion {
		t.Error("written twice")
	}
}
