package controllers

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

var now0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func configured(t *testing.T, cidr string) *Allocator {
	t.Helper()
	a := NewAllocator()
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n1", Generation: 1}}
	n.Spec.IPAM = &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: cidr}}}
	if err := a.Configure(n); err != nil {
		t.Fatal(err)
	}
	return a
}

func attachmentKey(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "ns", Name: name}
}

func record(name, uid, address string) *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid)},
		Spec: v1alpha1.PodNetworkAttachmentSpec{NetworkName: "n", Pod: v1alpha1.PodReference{Name: name},
			Addresses: []v1alpha1.AttachmentAddress{{Address: address + "/24"}}},
	}
}

// reserved returns the address, "" where the attachment exists, or "full".
func reserved(t *testing.T, a *Allocator, name string) string {
	t.Helper()
	got, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey(name)}}, now0)
	switch {
	case errors.Is(err, ipam.ErrExhausted):
		return "full"
	case err != nil:
		t.Fatal(err)
	case len(got) == 0:
		return ""
	}
	return got[attachmentKey(name)][0].Addr.String()
}

func wants(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestReservationLastsUntilTheOutcomeIsKnown(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	a.Settle(record("x", "x1", "10.0.0.1"))
	wants(t, reserved(t, a, "x"), "")
	wants(t, reserved(t, a, "z"), "full")
	a.Refused(attachmentKey("y"))
	wants(t, reserved(t, a, "z"), "10.0.0.2")
}

// Another leader created it first with other addresses: those count, ours go back.
func TestSettleTakesTheStoredAddresses(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	a.Settle(record("x", "x1", "10.0.0.2"))
	wants(t, reserved(t, a, "y"), "10.0.0.1")
	wants(t, reserved(t, a, "z"), "full")
}

func TestReserveIsForAllOrNone(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	_, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey("a")}, {Network: "n", Key: attachmentKey("b")}, {Network: "n", Key: attachmentKey("c")}}, now0)
	if !errors.Is(err, ipam.ErrExhausted) {
		t.Fatal(err)
	}
	if usage := a.Usage("n").Ranges[0]; usage.Allocated != "0" {
		t.Errorf("holds %s", usage.Allocated)
	}
}

// The deletion of the first object of a name is seen after the second was created.
func TestLateDeletionFreesOnlyItsOwn(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	a.Observe(record("x", "x1", "10.0.0.1"))
	a.Observe(record("x", "x2", "10.0.0.2"))
	a.Forget("x1", now0)
	a.Forget("x1", now0)
	wants(t, reserved(t, a, "y"), "10.0.0.1")
	wants(t, reserved(t, a, "z"), "full")
	wants(t, reserved(t, a, "x"), "")
}

// Whoever of two that record one address goes first, the other keeps it.
func TestContestedAddress(t *testing.T) {
	for _, first := range []types.UID{"x1", "y1"} {
		a := configured(t, "10.0.0.0/32")
		a.Observe(record("x", "x1", "10.0.0.0"))
		a.Observe(record("y", "y1", "10.0.0.0"))
		a.Forget(first, now0)
		wants(t, reserved(t, a, "z"), "full")
		for _, uid := range []types.UID{"x1", "y1"} {
			a.Forget(uid, now0)
		}
		wants(t, reserved(t, a, "z"), "10.0.0.0")
	}
}

func TestConfigureIgnoresOlderGenerations(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	edited := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n1", Generation: 2}}
	if err := a.Configure(edited); err != nil {
		t.Fatal(err)
	}
	old := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n1", Generation: 1}}
	old.Spec.IPAM = &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: "10.0.0.0/30"}}}
	if err := a.Configure(old); err != nil {
		t.Fatal(err)
	}
	if got := len(a.Usage("n").Ranges); got != 0 {
		t.Errorf("%d ranges", got)
	}
}

func TestListenersHearOfFreedAddresses(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	var heard []change
	a.Listen(func(c change) { heard = append(heard, c) })
	a.Observe(record("x", "x1", "10.0.0.1"))
	a.Observe(record("x", "x1", "10.0.0.1"))
	a.Forget("x1", now0)
	pod := attachmentKey("x")
	if len(heard) != 2 || heard[0] != (change{network: "n", pod: pod}) || heard[1] != (change{network: "n", pod: pod, freed: true}) {
		t.Errorf("heard %+v", heard)
	}
}

func TestDropKeepsWhatRests(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	a.Observe(record("x", "x1", "10.0.0.1"))
	a.Drop("n", now0)
	a.Forget("x1", now0)
	a.Drop("n", now0)
	if len(a.Networks()) != 1 {
		t.Fatal("dropped in quarantine")
	}
	a.Drop("n", now0.Add(decide.DefaultQuarantine))
	if len(a.Networks()) != 0 {
		t.Fatal("not dropped")
	}
}

// An outcome that nobody will ever ask for again is cleared up, one that is being asked for is not.
func TestOnlyOldReservationsAreSuspect(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	if got := a.suspects(now0); len(got) != 0 {
		t.Errorf("suspects %v", got)
	}
	later := now0.Add(sweepPeriod)
	if got := a.suspects(later); len(got) != 1 || got[0].key != attachmentKey("x") {
		t.Errorf("suspects %v", got)
	}
	a.cancelOlder(attachmentKey("x"), now0)
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	a.cancelOlder(attachmentKey("x"), later)
	wants(t, reserved(t, a, "z"), "10.0.0.1")
}
