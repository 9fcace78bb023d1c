package controllers

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// claimOn is one of Network n for pod db-0.
func claimOn(uid, address string) *v1alpha1.AddressClaim {
	return &v1alpha1.AddressClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: uid, UID: types.UID(uid)},
		Spec:       v1alpha1.AddressClaimSpec{NetworkName: "n", PodName: "db-0", Addresses: []string{address}, MAC: "02:00:00:00:00:01"},
	}
}

// ofPod is an attachment of a pod named db-0 that records address and MAC of claims.
func ofPod(name, uid, address string) *v1alpha1.PodNetworkAttachment {
	pna := record(name, uid, address)
	pna.Spec.Pod.Name, pna.Spec.NodeName, pna.Spec.MAC = "db-0", "node1", "02:00:00:00:00:01"
	return pna
}

// claimedFor is the address for the next attachment of db-0, or why there is none.
func claimedFor(t *testing.T, a *Allocator, attachment, claim string) string {
	t.Helper()
	pod := types.NamespacedName{Namespace: "ns", Name: "db-0"}
	got, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey(attachment), Claim: types.UID(claim), Pod: pod}}, now0)
	if err != nil {
		return err.Error()
	}
	if len(got) == 0 {
		return ""
	}
	return got[attachmentKey(attachment)][0].Addr.String()
}

func says(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Fatalf("%q does not say %q", got, part)
		}
	}
}

// Whoever of a claim and its pod's attachment goes first, the other keeps the address, and the last one frees it once.
func TestClaimAndItsAttachmentHoldOneAddress(t *testing.T) {
	for _, claimFirst := range []bool{false, true} {
		a := configured(t, "10.0.0.0/32")
		a.HoldClaim(claimOn("c", "10.0.0.0"))
		a.HoldClaim(claimOn("c", "10.0.0.0"))
		wants(t, claimedFor(t, a, "x", "c"), "10.0.0.0")
		a.Settle(ofPod("x", "x1", "10.0.0.0"))
		free := []func(){func() { a.Forget("x1", now0) }, func() { a.ForgetClaim("c", now0) }}
		if claimFirst {
			slices.Reverse(free)
		}
		free[0]()
		wants(t, reserved(t, a, "z"), "full")
		free[1]()
		wants(t, reserved(t, a, "z"), "10.0.0.0")
	}
}

func TestFormerAttachmentKeepsTheNextAway(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	a.HoldClaim(claimOn("c", "10.0.0.1"))
	a.Observe(ofPod("x", "x1", "10.0.0.1"))
	says(t, claimedFor(t, a, "y", "c"), `"c"`, "10.0.0.1", "ns/x", "node1", "when that is gone")
	if obstacle, inUse := a.InTheWay("c", now0); obstacle != nil || !inUse {
		t.Errorf("obstacle %+v, in use %v", obstacle, inUse)
	}
	a.Forget("x1", now0)
	wants(t, claimedFor(t, a, "y", "c"), "10.0.0.1")
	wants(t, claimedFor(t, a, "y", "c"), "10.0.0.1")
	if _, inUse := a.InTheWay("c", now0); inUse {
		t.Error("a reservation is no attachment")
	}
}

// A create that was sent may arrive; one that was not never will, since its pod is gone.
func TestReservationOfAFormerPod(t *testing.T) {
	for _, sent := range []bool{false, true} {
		a := configured(t, "10.0.0.0/30")
		a.HoldClaim(claimOn("c", "10.0.0.1"))
		wants(t, claimedFor(t, a, "x", "c"), "10.0.0.1")
		if !sent {
			wants(t, claimedFor(t, a, "y", "c"), "10.0.0.1")
			continue
		}
		a.Sent(attachmentKey("x"))
		says(t, claimedFor(t, a, "y", "c"), "ns/x, which is being made")
		heard := 0
		a.Listen(func(c change) { heard++ })
		a.cancelOlder(attachmentKey("x"), now0.Add(time.Second))
		wants(t, claimedFor(t, a, "y", "c"), "10.0.0.1")
		if heard != 1 {
			t.Errorf("those that wait heard of it %d times", heard)
		}
	}
}

// Whoever recorded it first has it, attachments before all claims.
func TestObstaclesOfClaims(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	var touched []string
	a.ListenClaims(func(key types.NamespacedName) { touched = append(touched, key.Name) })
	a.HoldClaim(claimOn("c", "10.0.0.1"))
	a.HoldClaim(claimOn("d", "10.0.0.1"))
	a.Observe(record("x", "x1", "10.0.0.1"))
	for _, claim := range []types.UID{"c", "d"} {
		obstacle, _ := a.InTheWay(claim, now0)
		if obstacle == nil || obstacle.Reason != v1alpha1.ReasonAddressInUse {
			t.Fatalf("%s: %+v", claim, obstacle)
		}
		says(t, map[types.UID]string{"c": "attachment ns/x", "d": "AddressClaim ns/c"}[claim], strings.SplitN(obstacle.Message, "by ", 2)[1][:len("attachment ns/x")])
	}
	touched = nil
	a.Forget("x1", now0)
	if obstacle, _ := a.InTheWay("c", now0); obstacle != nil || !slices.Contains(touched, "c") || !slices.Contains(touched, "d") {
		t.Errorf("obstacle %+v, told of %v", obstacle, touched)
	}
	a.ForgetClaim("c", now0)
	if obstacle, _ := a.InTheWay("d", now0); obstacle != nil {
		t.Errorf("obstacle %+v", obstacle)
	}
}

func TestMACsOfClaims(t *testing.T) {
	a := configured(t, "10.0.0.0/29")
	a.HoldClaim(claimOn("c", "10.0.0.1"))
	a.HoldClaim(claimOn("d", "10.0.0.2"))
	if obstacle, _ := a.InTheWay("c", now0); obstacle != nil {
		t.Errorf("obstacle %+v", obstacle)
	}
	obstacle, _ := a.InTheWay("d", now0)
	if obstacle == nil || obstacle.Reason != v1alpha1.ReasonMACInUse {
		t.Fatalf("obstacle %+v", obstacle)
	}
	says(t, obstacle.Message, "02:00:00:00:00:01", "AddressClaim ns/c")
	a.ForgetClaim("c", now0)
	if obstacle, _ := a.InTheWay("d", now0); obstacle != nil {
		t.Errorf("obstacle %+v", obstacle)
	}
}

// The claim is deleted while a create of its address is on its way.
func TestReservationOutlivesItsClaim(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	a.HoldClaim(claimOn("c", "10.0.0.1"))
	wants(t, claimedFor(t, a, "x", "c"), "10.0.0.1")
	a.Sent(attachmentKey("x"))
	a.ForgetClaim("c", now0)
	wants(t, claimedFor(t, a, "x", ""), "10.0.0.1") // what was sent is sent again
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	wants(t, reserved(t, a, "z"), "full")
	a.Settle(ofPod("x", "x1", "10.0.0.1"))
	wants(t, reserved(t, a, "z"), "full")
	a.Forget("x1", now0)
	wants(t, reserved(t, a, "z"), "10.0.0.1")
}

// A claim that is not known is not used: it was deleted meanwhile.
func TestUnknownClaim(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	_, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey("x"), Claim: "c"}}, now0)
	if !errors.Is(err, errClaimsChanged) || a.Usage("n").Reserved != 0 {
		t.Errorf("error %v", err)
	}
}

// What is kept is what the claim says, whoever made it.
func TestKept(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, claimedFor(t, a, "x", ""), "10.0.0.1")
	other := claimOn("other", "10.0.0.2")
	a.HoldClaim(other)
	if a.Kept(attachmentKey("x"), other) {
		t.Error("the claim names another address")
	}
	a.ForgetClaim("other", now0)
	a.Keeping(attachmentKey("x"))
	a.Refused(attachmentKey("x"))
	wants(t, claimedFor(t, a, "x", ""), "10.0.0.1") // a claim of it may arrive
	ours := claimOn("ours", "10.0.0.1")
	a.HoldClaim(ours)
	for range 2 {
		if !a.Kept(attachmentKey("x"), ours) {
			t.Error("the claim names the address")
		}
	}
	wants(t, claimedFor(t, a, "x", "ours"), "10.0.0.1")
	a.Refused(attachmentKey("x"))
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	wants(t, reserved(t, a, "z"), "full")
	if a.networks["n"].pool.Owner(netip.MustParseAddr("10.0.0.1")) != a.claims.byUID["ours"].owner() {
		t.Error("the claim does not have it")
	}
}
