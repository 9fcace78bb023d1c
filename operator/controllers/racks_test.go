package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestRacksGetPrefixes(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack")
	w.networkIs("rack", "Ready", metav1.ConditionFalse, v1alpha1.ReasonNoUplink)
	w.rackNode("node1", "r1")
	first := w.racksAre("rack", given, "r1")["r1"]
	w.inRack(w.attached(w.pod("a", "rack", "node1"), 1)["net1"], first)
	w.rackNode("node2", "r2")
	both := w.racksAre("rack", given, "r1", "r2")
	if both["r1"].VNI != first.VNI || !slices.Equal(both["r1"].Prefixes, first.Prefixes) {
		t.Errorf("rack r1 became %+v, was %+v", both["r1"], first)
	}
	w.inRack(w.attached(w.pod("b", "rack", "node2"), 1)["net1"], both["r2"])
	n := w.networkIs("rack", "RacksServed", metav1.ConditionTrue, v1alpha1.ReasonAllRacks)
	w.eventually("counts", func() error {
		w.must(w.Get(w.ctx, client.ObjectKeyFromObject(&n), &n))
		for _, rack := range n.Status.Racks {
			if rack.Nodes != 1 || rack.Attachments != 1 || n.Status.RackSummary != "r1, r2" || len(n.Status.Ranges) > 0 || n.Status.Nodes != 2 {
				return fmt.Errorf("status %+v", n.Status)
			}
		}
		return nil
	})
}

func TestNodeLocalNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("local", func(n *v1alpha1.Network) { n.Spec.RackLocal.TopologyKey = corev1.LabelHostname })
	w.rackNode("host1", "")
	w.rackNode("host2", "")
	racks := w.racksAre("local", given, "host1", "host2")
	w.inRack(w.attached(w.pod("a", "local", "host2"), 1)["net1"], racks["host2"])
}

func TestNodeMovesToAnotherRack(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack", quarantine(0))
	w.rackNode("node1", "r1")
	first := w.racksAre("rack", given, "r1")["r1"]
	running := w.pod("a", "rack", "node1")
	before := w.attached(running, 1)["net1"]
	w.inRack(before, first)
	w.moveNode("node1", "r2")
	racks := w.racksAre("rack", given, "r1", "r2")
	n := w.networkIs("rack", "NodeMoved", metav1.ConditionTrue, v1alpha1.ReasonNodeMoved)
	if c := meta.FindStatusCondition(n.Status.Conditions, "NodeMoved"); !strings.Contains(c.Message, w.namespace+"/a (rack r1, node node1)") {
		t.Errorf("message %q", c.Message)
	}
	w.eventually("event", func() error { return w.networkEvent(n.UID, v1alpha1.ReasonNodeMoved) })
	w.inRack(w.attached(w.pod("b", "rack", "node1"), 1)["net1"], racks["r2"])
	if after := w.attached(running, 1)["net1"]; after.UID != before.UID {
		t.Error("the running pod got another attachment")
	}
	w.kill(running)
	w.racksAre("rack", given, "r2")
	w.eventually("end of the condition", func() error {
		w.must(w.Get(w.ctx, client.ObjectKeyFromObject(&n), &n))
		if c := meta.FindStatusCondition(n.Status.Conditions, "NodeMoved"); c != nil {
			return fmt.Errorf("condition is %+v", c)
		}
		return nil
	})
}

func TestRackIsEmptiedAndRefilled(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack", quarantine(5*time.Second), ranges("10.40.0.0/30"))
	w.rackNode("node1", "r1")
	first := w.racksAre("rack", given, "r1")["r1"]
	w.moveNode("node1", "")
	resting := w.racksAre("rack", func(rack v1alpha1.RackStatus) error {
		if rack.EmptySince == nil || rack.Nodes != 0 {
			return fmt.Errorf("the rack does not rest")
		}
		return given(rack)
	}, "r1")["r1"]
	lost := w.pod("lost", "rack", "node1")
	w.planned(lost, corev1.ConditionFalse, v1alpha1.ReasonNodeWithoutRack)
	w.moveNode("node1", "r1")
	back := w.racksAre("rack", func(rack v1alpha1.RackStatus) error {
		if rack.EmptySince != nil {
			return fmt.Errorf("the rack rests")
		}
		return given(rack)
	}, "r1")["r1"]
	if back.VNI != first.VNI || !slices.Equal(back.Prefixes, first.Prefixes) || resting.VNI != first.VNI {
		t.Errorf("the rack came back as %+v, was %+v", back, first)
	}
	w.inRack(w.attached(lost, 1)["net1"], first)
	w.kill(lost)
	w.moveNode("node1", "r2")
	w.racksAre("rack", func(v1alpha1.RackStatus) error { return nil }, "r1", "r2")
	w.networkIs("rack", "RacksServed", metav1.ConditionFalse, v1alpha1.ReasonOutOfPrefixes)
	// After the rest r2 has what r1 had.
	if got := w.racksAre("rack", given, "r2")["r2"]; !slices.Equal(got.Prefixes, first.Prefixes) {
		t.Errorf("rack %+v", got)
	}
	w.networkIs("rack", "RacksServed", metav1.ConditionTrue, v1alpha1.ReasonAllRacks)
}

func TestOutOfPrefixes(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack", ranges("10.40.0.0/30"))
	w.rackNode("node1", "r1")
	w.racksAre("rack", given, "r1")
	w.rackNode("node2", "r2")
	n := w.networkIs("rack", "RacksServed", metav1.ConditionFalse, v1alpha1.ReasonOutOfPrefixes)
	if c := meta.FindStatusCondition(n.Status.Conditions, "RacksServed"); !strings.Contains(c.Message, "r2 (IPv4)") || strings.Contains(c.Message, "r1") {
		t.Errorf("message %q", c.Message)
	}
	refused := w.pod("a", "rack", "node2")
	if c := w.planned(refused, corev1.ConditionFalse, v1alpha1.ReasonRackNotServed); !strings.Contains(c.Message, `rack "r2"`) {
		t.Errorf("message %q", c.Message)
	}
	w.must(w.editNetwork("rack", ranges("10.40.0.0/30", "10.41.0.0/30")))
	racks := w.racksAre("rack", given, "r1", "r2")
	w.inRack(w.attached(refused, 1)["net1"], racks["r2"])
	w.networkIs("rack", "RacksServed", metav1.ConditionTrue, v1alpha1.ReasonAllRacks)
}

func TestFullRack(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack", quarantine(0))
	w.rackNode("node1", "r1")
	w.rackNode("node2", "r2")
	w.racksAre("rack", given, "r1", "r2")
	first := w.pod("a", "rack", "node1")
	w.attached(first, 1)
	w.attached(w.pod("b", "rack", "node1"), 1)
	third := w.pod("c", "rack", "node1")
	w.planned(third, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted)
	w.networkIs("rack", "RacksServed", metav1.ConditionFalse, v1alpha1.ReasonRackFull)
	w.attached(w.pod("d", "rack", "node2"), 1)
	w.kill(first)
	w.attached(third, 1)
}

// VNIs are those of the cluster, not of a Network.
func TestNetworksShareVNIs(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	for i := range 4 {
		w.rackNode(fmt.Sprint("host", i), fmt.Sprint("r", i%2))
	}
	names := []string{"one", "two", "three"}
	for _, name := range names {
		w.rackNetwork(name, vnis(7000, 7005))
	}
	used := map[int32]bool{}
	for _, name := range names {
		for rack := range maps.Values(w.racksAre(name, given, "r0", "r1")) {
			used[rack.VNI] = true
		}
	}
	if len(used) != 6 {
		t.Errorf("VNIs %v", used)
	}
	w.rackNetwork("four", vnis(7000, 7005))
	w.networkIs("four", "RacksServed", metav1.ConditionFalse, v1alpha1.ReasonOutOfVNIs)
}

func TestRestartKeepsRacks(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.rackNetwork("rack")
	w.rackNode("node1", "r2")
	first := w.racksAre("rack", given, "r2")["r2"]
	running := w.attached(w.pod("a", "rack", "node1"), 1)["net1"]
	w.inRack(running, first)
	stop()
	// A rack that comes before it by name takes nothing from it.
	w.rackNode("node2", "r1")
	w.startManager()
	racks := w.racksAre("rack", given, "r1", "r2")
	if racks["r2"].VNI != first.VNI || !slices.Equal(racks["r2"].Prefixes, first.Prefixes) {
		t.Errorf("after the restart %+v, before %+v", racks["r2"], first)
	}
	next := w.attached(w.pod("b", "rack", "node1"), 1)["net1"]
	if w.inRack(next, first); addressList(next) == addressList(running) {
		t.Errorf("both have %s", addressList(next))
	}
}

// A range that is taken away leaves its racks to those who are there; new pods get another prefix.
func TestRangeOfRacksRemoved(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.rackNetwork("rack", ranges("10.40.0.0/30"))
	w.rackNode("node1", "r1")
	first := w.racksAre("rack", given, "r1")["r1"]
	running := w.attached(w.pod("a", "rack", "node1"), 1)["net1"]
	w.must(w.editNetwork("rack", ranges("10.41.0.0/29")))
	second := w.racksAre("rack", func(rack v1alpha1.RackStatus) error {
		if len(rack.Prefixes) != 1 || rack.Prefixes[0] == first.Prefixes[0] {
			return fmt.Errorf("the rack has no other prefix")
		}
		return nil
	}, "r1")["r1"]
	if second.VNI != first.VNI {
		t.Errorf("the VNI changed from %d to %d", first.VNI, second.VNI)
	}
	w.inRack(w.attached(w.pod("b", "rack", "node1"), 1)["net1"], second)
	n := w.networkIs("rack", "Ready", metav1.ConditionTrue, v1alpha1.ReasonRangeInUse)
	w.inRack(running, first)
	// The range comes back: nobody else gets the prefix in which a pod is.
	w.must(w.editNetwork("rack", ranges("10.40.0.0/30", "10.41.0.0/29")))
	w.rackNode("node2", "r2")
	if racks := w.racksAre("rack", given, "r1", "r2"); racks["r2"].Prefixes[0] == first.Prefixes[0] {
		t.Errorf("%s: r2 got the prefix in which a pod of r1 is", n.Name)
	}
}

func TestTwoLeadersCarveAtOnce(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.startManager()
	w.rackNetwork("rack", ranges("10.40.0.0/24"))
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("r%02d", i))
		w.rackNode(fmt.Sprint("host", i), names[i])
		w.must(w.racksApart("rack"))
	}
	before := w.racksAre("rack", given, names...)
	w.rackNode("last", "r99")
	after := w.racksAre("rack", given, append(names, "r99")...)
	for name, rack := range before {
		if after[name].VNI != rack.VNI || !slices.Equal(after[name].Prefixes, rack.Prefixes) {
			t.Errorf("rack %+v became %+v", rack, after[name])
		}
	}
}

func (w *world) racksApart(network string) error {
	var n v1alpha1.Network
	if err := w.Get(w.ctx, types.NamespacedName{Name: network}, &n); err != nil {
		return err
	}
	return apart(n.Status.Racks)
}

// networkEvent looks for an event, which is in the namespace default for objects without one.
func (w *world) networkEvent(uid types.UID, reason string) error {
	var list corev1.EventList
	if err := w.List(w.ctx, &list, client.InNamespace("default")); err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.InvolvedObject.UID == uid && e.Reason == reason {
			return nil
		}
	}
	return fmt.Errorf("no event %s among %d", reason, len(list.Items))
}
