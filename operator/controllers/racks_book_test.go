package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// racked is a Network with room for two racks of two addresses, as it is stored with some version.
func racked(name, version string, racks ...v1alpha1.RackStatus) *v1alpha1.Network {
	four := int32(30)
	return &v1alpha1.Network{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1, ResourceVersion: version},
		Spec: v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeRackLocal,
			RackLocal: &v1alpha1.RackLocalSpec{PrefixLength: &v1alpha1.RackPrefixLength{IPv4: &four},
				Overlay: &v1alpha1.RackOverlaySpec{VNIs: v1alpha1.VNIRange{First: 1, Last: 9}}},
			IPAM: &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: "10.0.0.0/29"}}, Quarantine: &metav1.Duration{Duration: time.Minute}}},
		Status: v1alpha1.NetworkStatus{Racks: racks},
	}
}

func rackOf(name, prefix string, vni int32) v1alpha1.RackStatus {
	return v1alpha1.RackStatus{Name: name, Prefixes: []string{prefix}, VNI: vni}
}

// plan takes over the stored Network and plans with one node in each of the racks.
func plan(t *testing.T, a *Allocator, n *v1alpha1.Network, now time.Time, racks ...string) decide.RackPlan {
	t.Helper()
	if err := a.Configure(n); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int32{}
	for _, rack := range racks {
		nodes[rack] = 1
	}
	planned, current := a.PlanRacks(n, nodes, now)
	if !current {
		t.Fatal("the version is not the last one")
	}
	return planned
}

// reservedIn returns the address and the rack, "not served" or "full".
func reservedIn(t *testing.T, a *Allocator, name, rack string) string {
	t.Helper()
	got, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey(name), Scope: rack}}, now0)
	if refusal := refusalOf(err); refusal != nil {
		return refusal.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	in, vni := a.reservedRack(attachmentKey(name))
	return fmt.Sprintf("%s in %s, VNI %d", got[attachmentKey(name)][0].Addr, in, vni)
}

func TestRackIsServedOnceItIsRecorded(t *testing.T) {
	a := NewAllocator()
	planned := plan(t, a, racked("n", "1"), now0, "r1")
	wants(t, reservedIn(t, a, "x", "r1"), v1alpha1.ReasonRackNotServed)
	heard := 0
	a.Listen(func(c change) {
		if c.racks {
			heard++
		}
	})
	a.TakeRacks(racked("n", "2", planned.Racks...))
	wants(t, reservedIn(t, a, "x", "r1"), "10.0.0.1 in r1, VNI 1")
	a.TakeRacks(racked("n", "2", planned.Racks...))
	a.TakeRacks(racked("n", "1"))
	wants(t, reservedIn(t, a, "y", "r1"), "10.0.0.2 in r1, VNI 1")
	wants(t, reservedIn(t, a, "z", "r1"), v1alpha1.ReasonRangeExhausted)
	wants(t, reservedIn(t, a, "z", "r2"), v1alpha1.ReasonRackNotServed)
	if heard != 1 {
		t.Errorf("waiting pods heard of it %d times", heard)
	}
	if _, current := a.PlanRacks(racked("n", "1"), nil, now0); current {
		t.Error("an older version is planned from")
	}
}

// The answer of the write that gives the rack back is lost: nothing of it is given out until another version is seen.
func TestRackWhoseEndIsUnknownIsNotServed(t *testing.T) {
	a := NewAllocator()
	empty := rackOf("r1", "10.0.0.0/30", 1)
	empty.EmptySince = &metav1.Time{Time: now0}
	stored := racked("n", "1", empty)
	if left := plan(t, a, stored, now0.Add(time.Minute)).Racks; len(left) != 0 {
		t.Fatalf("racks %+v are left", left)
	}
	wants(t, reservedIn(t, a, "x", "r1"), v1alpha1.ReasonRackNotServed)
	stored.Generation++
	back := plan(t, a, stored, now0.Add(time.Minute), "r1").Racks
	wants(t, reservedIn(t, a, "x", "r1"), v1alpha1.ReasonRackNotServed)
	a.TakeRacks(racked("n", "2", back...))
	wants(t, reservedIn(t, a, "x", "r1"), "10.0.0.1 in r1, VNI 1")
}

func TestReservationKeepsItsRack(t *testing.T) {
	a := NewAllocator()
	stored := racked("n", "1", rackOf("r1", "10.0.0.0/30", 1), rackOf("r2", "10.0.0.4/30", 2))
	plan(t, a, stored, now0, "r1", "r2")
	wants(t, reservedIn(t, a, "x", "r1"), "10.0.0.1 in r1, VNI 1")
	// The node was moved before anything was sent, then after.
	wants(t, reservedIn(t, a, "x", "r2"), "10.0.0.5 in r2, VNI 2")
	a.Sent(attachmentKey("x"))
	wants(t, reservedIn(t, a, "x", "r1"), "10.0.0.5 in r2, VNI 2")
	// Such a rack is not empty.
	for _, rack := range plan(t, a, stored, now0.Add(time.Hour), "r1").Racks {
		if rack.EmptySince != nil {
			t.Errorf("%+v rests", rack)
		}
	}
}

// An address that is held, by whatever, keeps the rack's prefix from other racks.
func TestClaimKeepsTheRack(t *testing.T) {
	a := NewAllocator()
	stored := racked("n", "1", rackOf("r1", "10.0.0.0/30", 1), rackOf("r2", "10.0.0.4/30", 2))
	plan(t, a, stored, now0)
	addr := netip.MustParseAddr("10.0.0.1")
	if err := a.book("n").pool.Claim(addr, "a claim"); err != nil {
		t.Fatal(err)
	}
	racks := plan(t, a, stored, now0).Racks
	if racks[0].EmptySince != nil || racks[1].EmptySince == nil {
		t.Errorf("racks %+v", racks)
	}
	a.book("n").pool.Release(addr, "a claim", now0)
	if racks := plan(t, a, stored, now0).Racks; racks[0].EmptySince == nil {
		t.Errorf("racks %+v", racks)
	}
}

func TestVNIsOfTwoNetworks(t *testing.T) {
	a := NewAllocator()
	vnis := func(name, version string, stored ...v1alpha1.RackStatus) (got []int32) {
		for _, rack := range plan(t, a, racked(name, version, stored...), now0, "r1").Racks {
			got = append(got, rack.VNI)
		}
		return got
	}
	// What n plans is not for m, although nobody knows yet whether it was written.
	first, second := vnis("n", "1"), vnis("m", "2")
	if first[0] != 1 || second[0] != 2 {
		t.Errorf("n plans %v, m plans %v", first, second)
	}
	// n was written without: its VNI is free again.
	a.TakeRacks(racked("n", "3"))
	if third := vnis("o", "4"); third[0] != 1 {
		t.Errorf("o plans %v", third)
	}
	// A late write of another leader gave m what o has: who has no attachments yields.
	if again := vnis("m", "5", rackOf("r1", "10.0.0.0/30", 1)); again[0] == 1 {
		t.Errorf("m keeps %v", again)
	}
	a.Observe(rackRecord("m", "x", "r1"))
	if again := vnis("m", "6", rackOf("r1", "10.0.0.0/30", 1)); again[0] != 1 {
		t.Errorf("m has an attachment and gets %v", again)
	}
}

func rackRecord(network, name, rack string) *v1alpha1.PodNetworkAttachment {
	pna := record(name, name+"-uid", "10.0.0.1")
	pna.Spec.NetworkName, pna.Spec.NodeName, pna.Spec.RackLocal = network, "node1", &v1alpha1.AttachmentRack{Rack: rack}
	return pna
}

// The racks of a Network that was deleted are not those of the next one of its name.
func TestRacksOfAnotherNetworkOfTheName(t *testing.T) {
	a := NewAllocator()
	plan(t, a, racked("n", "1", rackOf("r1", "10.0.0.0/30", 1)), now0, "r1")
	next := racked("n", "2")
	next.UID = "another"
	if err := a.Configure(next); err != nil {
		t.Fatal(err)
	}
	wants(t, reservedIn(t, a, "x", "r1"), v1alpha1.ReasonRackNotServed)
}

func TestMovedNodes(t *testing.T) {
	a := NewAllocator()
	a.Observe(rackRecord("n", "x", "r1"))
	for name, c := range map[string]struct {
		nodeRacks map[string]string
		want      int
	}{
		"still there": {map[string]string{"node1": "r1"}, 0},
		"elsewhere":   {map[string]string{"node1": "r2"}, 1},
		"no label":    {map[string]string{"node1": ""}, 1},
		"gone":        {map[string]string{}, 0},
	} {
		if moved := a.Moved("n", c.nodeRacks); len(moved) != c.want {
			t.Errorf("%s: %v", name, moved)
		}
	}
	a.Forget("x-uid", now0)
	if moved := a.Moved("n", map[string]string{"node1": "r2"}); len(moved) > 0 {
		t.Errorf("%v is told of", moved)
	}
}

// A fenced leader writes no racks.
func TestFencedLeaderRecordsNoRacks(t *testing.T) {
	r := NetworkReconciler{Allocator: NewAllocator(), Fence: NewFence(leaseLock{lease: &lease{}, identity: "late"}, renewDeadline)}
	n := racked("n", "1")
	if err := r.patchStatus(t.Context(), n, n.DeepCopy()); !errors.Is(err, ErrFenced) {
		t.Errorf("error %v", err)
	}
}

// A node-local network in a large cluster: work grows with the racks, not with their square.
func TestManyRacks(t *testing.T) {
	a, n := NewAllocator(), racked("n", "1")
	n.Spec.IPAM.Ranges[0].CIDR = "10.0.0.0/8"
	n.Spec.RackLocal.Overlay.VNIs.Last = 100000
	if err := a.Configure(n); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int32{}
	for i := range decide.MaxRacks {
		nodes[fmt.Sprintf("node%d", i)] = 1
	}
	began := time.Now()
	planned, _ := a.PlanRacks(n, nodes, now0)
	n.Status.Racks, n.ResourceVersion = planned.Racks, "2"
	a.TakeRacks(n)
	carved := time.Since(began)
	for i := range decide.MaxRacks {
		reservedIn(t, a, fmt.Sprintf("pod%d", i), fmt.Sprintf("node%d", i))
	}
	reserved := time.Since(began)
	if again, _ := a.PlanRacks(n, nodes, now0); !sameRacks(again.Racks, planned.Racks) {
		t.Error("the second plan differs")
	}
	t.Logf("carved after %s, an address in each after %s, planned again after %s", carved, reserved, time.Since(began))
}

// The record of as many racks as there may be is one that the API server takes.
func TestManyRacksAreRecorded(t *testing.T) {
	w := newWorld(t)
	n := w.rackNetwork("rack", ranges("10.0.0.0/8"))
	nodes := map[string]int32{}
	for i := range decide.MaxRacks + 1 {
		nodes[fmt.Sprintf("ip-10-100-200-%05d.eu-central-1.compute.internal.example", i)] = 1
	}
	a := NewAllocator()
	w.must(a.Configure(n))
	planned, _ := a.PlanRacks(n, nodes, now0)
	before := n.DeepCopy()
	n.Status.Racks = planned.Racks
	began := time.Now()
	w.must((&NetworkReconciler{Client: w, Allocator: a}).patchStatus(w.ctx, n, before))
	t.Logf("recorded %d racks in %s", len(n.Status.Racks), time.Since(began))
	if len(n.Status.Racks) != decide.MaxRacks || len(planned.Unlisted) != 1 || len(a.networks["rack"].racks.served) != decide.MaxRacks {
		t.Errorf("%d racks are recorded, %d served, %v left out", len(n.Status.Racks), len(a.networks["rack"].racks.served), planned.Unlisted)
	}
}

// Without spec.ipam a rack needs a VNI only.
func TestRackWithoutAddresses(t *testing.T) {
	a, n := NewAllocator(), racked("n", "1")
	n.Spec.IPAM, n.Spec.RackLocal.PrefixLength = nil, nil
	n.Status.Racks, n.ResourceVersion = plan(t, a, n, now0, "r1").Racks, "2"
	a.TakeRacks(n)
	got, err := a.Reserve([]Want{{Network: "n", Key: attachmentKey("x"), Scope: "r1"}}, now0)
	if addresses, ok := got[attachmentKey("x")]; err != nil || !ok || len(addresses) > 0 {
		t.Fatalf("got %v, %v", got, err)
	}
	if rack, vni := a.reservedRack(attachmentKey("x")); rack != "r1" || vni != 1 {
		t.Errorf("rack %q, VNI %d", rack, vni)
	}
}
