package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

func firstHost(t *testing.T, rack v1alpha1.RackStatus) string {
	t.Helper()
	prefix, err := netip.ParsePrefix(rack.Prefixes[0])
	if err != nil {
		t.Fatal(err)
	}
	return prefix.Addr().Next().String()
}

func TestStickyAddressesComeBack(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	network := w.network("storage", sticky(time.Hour))
	first := w.pod("db-0", "storage", "node1")
	before := w.attached(first, 1)["net1"]
	claim, err := w.kept("db-0", "storage")
	w.must(err)
	if !decide.IsSticky(claim) || claim.OwnerReferences[0].UID != network.UID || claim.Spec.MAC != before.Spec.MAC ||
		addressList(before) != claim.Spec.Addresses[0]+"/24 "+claim.Spec.Addresses[1]+"/64" {
		t.Errorf("claim %+v for %+v", claim, before.Spec)
	}
	w.reserved(claim.Name)
	for i, restart := range []bool{false, true} {
		w.kill(first)
		if restart {
			stop()
			w.startManager()
		}
		w.attached(w.pod(fmt.Sprint("other-", i), "storage", "node1"), 1)
		first = w.pod("db-0", "storage", "node2")
		after := w.attached(first, 1)["net1"]
		if addressList(after) != addressList(before) || after.Spec.MAC != before.Spec.MAC {
			t.Errorf("%s %s became %s %s", addressList(before), before.Spec.MAC, addressList(after), after.Spec.MAC)
		}
	}
	again, err := w.kept("db-0", "storage")
	w.must(err)
	if again.UID != claim.UID || again.Status.UnusedSince != nil {
		t.Errorf("the claim was written to: %+v", again)
	}
}

func TestStickyAddressesAreFreedAfterRetention(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("tiny", ranges("10.20.0.0/32"), sticky(time.Second))
	w.kill(w.podWithClaim("db-0", "tiny"))
	w.eventually("the claim to go", func() error {
		claim, err := w.kept("db-0", "tiny")
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("claim %+v, %w", claim.Status, err)
	})
	w.attached(w.pod("db-1", "tiny", "node1"), 1)
}

func (w *world) podWithClaim(name, network string) *corev1.Pod {
	w.t.Helper()
	pod := w.pod(name, network, "node1")
	w.attached(pod, 1)
	_, err := w.kept(name, network)
	w.must(err)
	return pod
}

// The time goes on where the last operator left it, and ends when a pod comes back.
func TestUnusedSinceSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.network("storage", sticky(time.Hour))
	pod := w.podWithClaim("db-0", "storage")
	w.kill(pod)
	stop()
	claim, err := w.kept("db-0", "storage")
	w.must(err)
	before := claim.DeepCopy()
	claim.Status.UnusedSince = &metav1.Time{Time: time.Now().Add(-59 * time.Minute)}
	w.must(w.Status().Patch(w.ctx, claim, client.MergeFrom(before)))
	stop = w.startManager()
	w.attached(w.pod("db-0", "storage", "node1"), 1)
	w.eventually("the end of unusedSince", func() error {
		if claim, err = w.kept("db-0", "storage"); err == nil && claim.Status.UnusedSince != nil {
			return fmt.Errorf("still %s", claim.Status.UnusedSince)
		}
		return err
	})
	pod.Name = "db-1"
	w.kill(w.podWithClaim("db-1", "storage"))
	stop()
	claim, err = w.kept("db-1", "storage")
	w.must(err)
	before = claim.DeepCopy()
	claim.Status.UnusedSince = &metav1.Time{Time: time.Now().Add(-61 * time.Minute)}
	w.must(w.Status().Patch(w.ctx, claim, client.MergeFrom(before)))
	w.startManager()
	w.eventually("the claim to go", func() error {
		if claim, err := w.kept("db-1", "storage"); !apierrors.IsNotFound(err) {
			return fmt.Errorf("claim %+v, %w", claim.Status, err)
		}
		return nil
	})
}

func TestUsersClaimPrecedesTheStickyOne(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", sticky(time.Hour))
	first := w.podWithClaim("db-0", "storage")
	w.claim("mine", "storage", "db-0", "", "10.20.0.99", "fd00:20::99")
	w.reserved("mine")
	w.kill(first)
	if got := addressList(w.attached(w.pod("db-0", "storage", "node1"), 1)["net1"]); got != "10.20.0.99/24 fd00:20::99/64" {
		t.Errorf("got %s", got)
	}
}

// Another machine has the address: the pod gets another one, and keeps that.
func TestContestedStickyAddressIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", ranges("10.20.0.0/29"), sticky(time.Hour))
	pod := w.podWithClaim("db-0", "storage")
	first := w.attachments(pod)["net1"]
	before, err := w.kept("db-0", "storage")
	w.must(err)
	taken := w.contest(first, metav1.ConditionFalse)
	w.deleting(first)
	w.claimIs(before.Name, metav1.ConditionFalse, v1alpha1.ReasonAddressInUse)
	w.release(first)
	second := w.attached(pod, 1)["net1"]
	after, err := w.kept("db-0", "storage")
	w.must(err)
	if after.UID == before.UID || addressList(second) != after.Spec.Addresses[0]+"/29" || after.Spec.Addresses[0] == taken {
		t.Errorf("the pod has %s, its claim %v", addressList(second), after.Spec.Addresses)
	}
}

// A user's claim never gives way: the pod says who has its address, and when it is tried again.
func TestContestedClaimedAddressIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", ranges("10.20.0.0/29"))
	w.claim("mine", "storage", "db-0", "", "10.20.0.5")
	w.reserved("mine")
	pod := w.pod("db-0", "storage", "node1")
	pna := w.attached(pod, 1)["net1"]
	w.contest(pna, metav1.ConditionFalse)
	w.deleting(pna)
	w.release(pna)
	if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim); !strings.Contains(c.Message, foreignMAC) || !strings.Contains(c.Message, "tried again at") {
		t.Errorf("message %q", c.Message)
	}
	w.claimIs("mine", metav1.ConditionFalse, v1alpha1.ReasonAddressInUse)
}

// Whoever takes the label away keeps the addresses for good.
func TestStickyClaimBecomesAUsers(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", sticky(time.Second))
	pod := w.podWithClaim("db-0", "storage")
	claim, err := w.kept("db-0", "storage")
	w.must(err)
	before := claim.DeepCopy()
	claim.Labels = nil
	w.must(w.Patch(w.ctx, claim, client.MergeFrom(before)))
	w.kill(pod)
	w.eventually("unusedSince", func() error {
		if claim, err = w.kept("db-0", "storage"); err == nil && claim.Status.UnusedSince == nil {
			return errors.New("not recorded")
		}
		return err
	})
	facts := decide.ClaimFacts{Claim: claim, UnusedSince: claim.Status.UnusedSince.Time, Now: metav1.NewTime(claim.Status.UnusedSince.Add(time.Hour))}
	if facts.Expired() || facts.Next() != 0 {
		t.Error("it expires")
	}
}

// The ranges do not have the address any more.
func TestOutdatedStickyAddressIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", ranges("10.20.0.0/24"), sticky(time.Hour))
	w.kill(w.podWithClaim("db-0", "storage"))
	w.must(w.editNetwork("storage", ranges("10.30.0.0/24")))
	if got := addressList(w.attached(w.pod("db-0", "storage", "node1"), 1)["net1"]); !strings.HasPrefix(got, "10.30.0.") {
		t.Errorf("got %s", got)
	}
}

// Another operator made the claim, and our cache does not show it: its addresses count.
func TestStickyClaimOfAnotherOperator(t *testing.T) {
	w := newWorld(t)
	network := w.network("storage", sticky(time.Hour), func(n *v1alpha1.Network) { n.Finalizers = []string{v1alpha1.FinalizerInUse} })
	pod := w.pod("db-0", "storage", "node1")
	selection := decide.Selected(pod)[0]
	stored := decide.StickyClaim(pod, decide.Planned{Selection: selection, Network: network}, nil)
	stored.Spec.Addresses, stored.Spec.MAC = []string{"10.20.0.99", "fd00:20::99"}, "02:00:00:00:00:99"
	w.must(w.Create(w.ctx, stored))
	r := w.bare()
	r.Client = blindTo{w.Client}
	close(r.Allocator.ready)
	for _, want := range []error{errClaimsChanged, nil} {
		if err := r.plan(w.ctx, pod); !errors.Is(err, want) {
			t.Fatalf("error %v, want %v", err, want)
		}
	}
	pna := w.attachments(pod)["net1"]
	if addressList(pna) != "10.20.0.99/24 fd00:20::99/64" || pna.Spec.MAC != "02:00:00:00:00:99" {
		t.Errorf("got %+v", pna.Spec)
	}
}

// The first pod of a name costs one write more, its successors none.
func TestWritesOfAStickyPod(t *testing.T) {
	w := newWorld(t)
	w.network("storage", sticky(time.Hour), func(n *v1alpha1.Network) { n.Finalizers = []string{v1alpha1.FinalizerInUse} })
	for i := range 3 {
		r := w.bare()
		c := counting{blindTo{w.Client}, map[string]int{}}
		r.Client = c
		if claim, err := w.kept("db-0", "storage"); err == nil {
			r.Allocator.HoldClaim(claim)
		}
		pod := w.pod("db-0", "storage", "node1")
		w.must(r.plan(w.ctx, pod))
		if got := c.created; got["*v1alpha1.PodNetworkAttachment"] != 1 || (got["*v1alpha1.AddressClaim"] == 1) != (i == 0) || len(got) > 2 {
			t.Errorf("pod %d: created %v", i, got)
		}
		w.kill(pod)
	}
}

// A leader that could not renew makes no claim, and keeps what it reserved.
func TestClosedFenceKeepsNothing(t *testing.T) {
	w := newWorld(t)
	w.network("storage", sticky(time.Hour), func(n *v1alpha1.Network) { n.Finalizers = []string{v1alpha1.FinalizerInUse} })
	pod := w.pod("db-0", "storage", "node1")
	r := w.bare()
	r.Client, r.Fence = blindTo{w.Client}, NewFence(&slowLock{}, time.Second)
	if err := r.plan(w.ctx, pod); !errors.Is(err, ErrFenced) {
		t.Fatalf("error is %v", err)
	}
	if _, err := w.kept("db-0", "storage"); !apierrors.IsNotFound(err) || r.Allocator.Usage("storage").Reserved != 1 {
		t.Errorf("claim: %v, %d reserved", err, r.Allocator.Usage("storage").Reserved)
	}
}
