package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestClaimedAddressesAndMAC(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.slice("node1")
	w.network("storage", func(n *v1alpha1.Network) {
		n.Spec.IPAM.Ranges[0].End = "10.20.0.9"
		n.Spec.IPAM.Ranges[0].Exclude = []string{"10.20.0.2/32"}
	})
	w.claim("both", "storage", "db-0", "02:00:00:00:00:09", "10.20.0.77", "fd00:20::77")
	w.claim("excluded", "storage", "db-1", "", "10.20.0.2")
	w.claim("mac", "storage", "db-2", "06:00:00:00:00:01")
	for _, name := range []string{"both", "excluded", "mac"} {
		w.reserved(name)
	}
	both := w.attached(w.pod("db-0", "storage, storage@second", "node1"), 2)
	if pna := both["net1"]; addressList(pna) != "10.20.0.77/24 fd00:20::77/64" || pna.Spec.MAC != "02:00:00:00:00:09" || pna.Spec.Addresses[0].Gateway != "10.20.0.1" {
		t.Errorf("db-0 has %+v", pna.Spec)
	}
	if addressList(both["second"]) == addressList(both["net1"]) || both["second"].Spec.MAC == both["net1"].Spec.MAC {
		t.Errorf("the second interface has %+v", both["second"].Spec)
	}
	if pna := w.attached(w.pod("db-1", "storage", "node1"), 1)["net1"]; !strings.HasPrefix(addressList(pna), "10.20.0.2/24 fd00:20::") {
		t.Errorf("db-1 has %s", addressList(pna))
	}
	if pna := w.attached(w.pod("db-2", "storage", "node1"), 1)["net1"]; len(pna.Spec.Addresses) != 2 || pna.Spec.MAC != "06:00:00:00:00:01" {
		t.Errorf("db-2 has %+v", pna.Spec)
	}
	n := w.networkIs("storage", "Ready", metav1.ConditionTrue, v1alpha1.ReasonReady)
	if c := meta.FindStatusCondition(n.Status.Conditions, "Ready"); strings.Contains(c.Message, "10.20.0.77") {
		t.Errorf("message %q", c.Message)
	}
}

func TestClaimsThatCannotBeHonoured(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.network("closed", func(n *v1alpha1.Network) {
		n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "storage"}}
	}, ranges("10.30.0.0/30"))
	w.claim("outside", "storage", "a", "", "10.21.0.9")
	w.claim("gateway", "storage", "b", "", "10.20.0.1")
	w.claim("broadcast", "storage", "c", "", "10.20.0.255")
	w.claim("nowhere", "absent", "d", "", "10.20.0.9")
	w.claim("admitted-later", "closed", "e", "", "10.30.0.1")
	for name, reason := range map[string]string{
		"outside": v1alpha1.ReasonOutsideRanges, "gateway": v1alpha1.ReasonOutsideRanges, "broadcast": v1alpha1.ReasonOutsideRanges,
		"nowhere": v1alpha1.ReasonUnknownNetwork, "admitted-later": v1alpha1.ReasonNotAdmitted,
	} {
		w.claimIs(name, metav1.ConditionFalse, reason)
	}
	pod := w.pod("a", "storage", "node1")
	if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim); !strings.Contains(c.Message, `"outside"`) || !strings.Contains(c.Message, "10.21.0.9") {
		t.Errorf("message %q", c.Message)
	}
	w.must(w.editNetwork("storage", ranges("10.20.0.0/24", "10.21.0.0/24")))
	if got := addressList(w.attached(pod, 1)["net1"]); got != "10.21.0.9/24" {
		t.Errorf("got %s", got)
	}
	// A namespace that the Network does not admit takes nothing away from others.
	w.labelNamespace("team", "storage")
	w.reserved("admitted-later")
	w.network("absent")
	w.reserved("nowhere")
}

func TestTwoClaimsForOneInterface(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.claim("one", "storage", "db-0", "", "10.20.0.9")
	two := w.claim("two", "storage", "db-0", "", "10.20.0.10")
	w.reserved("one")
	w.reserved("two")
	pod := w.pod("db-0", "storage", "node1")
	if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim); !strings.Contains(c.Message, `"one"`) || !strings.Contains(c.Message, `"two"`) {
		t.Errorf("message %q", c.Message)
	}
	w.must(w.Delete(w.ctx, two))
	if got := addressList(w.attached(pod, 1)["net1"]); !strings.HasPrefix(got, "10.20.0.9/24 ") {
		t.Errorf("got %s", got)
	}
}

func TestClaimWaitsForWhoHasTheAddress(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", ranges("10.20.0.0/24"))
	other := w.pod("other", "storage", "node2")
	held := w.attached(other, 1)["net1"]
	w.claim("mine", "storage", "db-0", "", "10.20.0.1")
	if c := w.claimIs("mine", metav1.ConditionFalse, v1alpha1.ReasonAddressInUse); !strings.Contains(c.Message, held.Name) || !strings.Contains(c.Message, "node2") {
		t.Errorf("message %q", c.Message)
	}
	second := w.claim("theirs", "storage", "db-1", "", "10.20.0.1")
	w.claimIs("theirs", metav1.ConditionFalse, v1alpha1.ReasonAddressInUse)
	pod := w.pod("db-0", "storage", "node1")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim)
	w.kill(other)
	w.reserved("mine")
	if got := addressList(w.attached(pod, 1)["net1"]); got != "10.20.0.1/24" {
		t.Errorf("got %s", got)
	}
	w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	if c := w.claimIs("theirs", metav1.ConditionFalse, v1alpha1.ReasonAddressInUse); !strings.Contains(c.Message, "AddressClaim "+w.namespace+"/mine") {
		t.Errorf("message %q", c.Message)
	}
	w.must(w.Delete(w.ctx, second))
}

func TestMACInUse(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	pna := w.attached(w.pod("other", "storage", "node1"), 1)["net1"]
	w.claim("of-a-pod", "storage", "a", pna.Spec.MAC)
	if c := w.claimIs("of-a-pod", metav1.ConditionFalse, v1alpha1.ReasonMACInUse); !strings.Contains(c.Message, pna.Name) {
		t.Errorf("message %q", c.Message)
	}
	first := w.claim("first", "storage", "b", "02:00:00:00:00:01")
	w.reserved("first")
	w.claim("second", "storage", "c", "02:00:00:00:00:01")
	w.claimIs("second", metav1.ConditionFalse, v1alpha1.ReasonMACInUse)
	w.must(w.Delete(w.ctx, first))
	w.reserved("second")
}

// The former pod's node does not answer: nobody gets the address before its attachment is gone.
func TestNextPodWaitsForTheFormerAttachment(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.claim("mine", "storage", "db-0", "02:00:00:00:00:09", "10.20.0.9")
	w.reserved("mine")
	first := w.pod("db-0", "storage", "node1")
	before := w.attached(first, 1)["net1"]
	w.remove(first)
	next := w.pod("db-0", "storage", "node2")
	if c := w.planned(next, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim); !strings.Contains(c.Message, before.Name) || !strings.Contains(c.Message, "node1") {
		t.Errorf("message %q", c.Message)
	}
	w.reserved("mine") // for pods of that name
	w.must(w.Delete(w.ctx, &before))
	w.planned(next, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim)
	w.release(before)
	after := w.attached(next, 1)["net1"]
	if !strings.HasPrefix(addressList(after), "10.20.0.9/24 ") || after.Spec.MAC != before.Spec.MAC || after.Spec.NodeName != "node2" {
		t.Errorf("got %+v", after.Spec)
	}
}

// A StatefulSet's next pod comes a moment before the former one's attachment goes: nobody has to hear of that.
func TestFormerAttachmentThatGoesAtOnceIsNotReported(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", sticky(time.Hour))
	first := w.podWithClaim("db-0", "storage")
	held := w.remove(first)
	next := w.pod("db-0", "storage", "node2")
	for _, pna := range held {
		w.release(pna)
	}
	w.attached(next, 1)
	var p corev1.Pod
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(next), &p))
	if c := plannedCondition(&p); c != nil {
		t.Errorf("condition %+v", c)
	}
}

// What a claim held is for others when it is deleted, its pod's once that is gone.
func TestDeletedClaimFrees(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("tiny", ranges("10.20.0.0/32"))
	claim := w.claim("mine", "tiny", "db-0", "", "10.20.0.0")
	w.reserved("mine")
	waiter := w.pod("waiter", "tiny", "node1")
	w.planned(waiter, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted)
	pod := w.pod("db-0", "tiny", "node1")
	w.attached(pod, 1)
	w.must(w.Delete(w.ctx, claim))
	w.kill(pod)
	w.attached(waiter, 1)
}

// A Network goes although claims name it, and a new one of the name serves them again.
func TestNetworkGoesBesideClaims(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	n := w.network("storage")
	w.claim("mine", "storage", "db-0", "", "10.20.0.9")
	w.reserved("mine")
	w.must(w.Delete(w.ctx, n))
	w.claimIs("mine", metav1.ConditionFalse, v1alpha1.ReasonUnknownNetwork)
	if err := w.Get(w.ctx, client.ObjectKeyFromObject(n), n); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the network: %v", err)
	}
	w.network("storage")
	w.reserved("mine")
}

func TestClaimInAnotherRack(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack")
	w.rackNode("node1", "r1")
	w.rackNode("node2", "r2")
	racks := w.racksAre("rack", given, "r1", "r2")
	claim := w.claim("mine", "rack", "db-0", "", firstHost(t, racks["r1"]))
	w.reserved("mine")
	away := w.pod("db-0", "rack", "node2")
	if c := w.planned(away, corev1.ConditionFalse, v1alpha1.ReasonAddressClaim); !strings.Contains(c.Message, `"r1"`) || !strings.Contains(c.Message, `"r2"`) {
		t.Errorf("message %q", c.Message)
	}
	w.kill(away)
	home := w.attached(w.pod("db-0", "rack", "node1"), 1)["net1"]
	w.inRack(home, racks["r1"])
	if !strings.HasPrefix(addressList(home), claim.Spec.Addresses[0]+"/") {
		t.Errorf("got %s", addressList(home))
	}
}
