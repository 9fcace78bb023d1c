package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

const foreignMAC = "02:aa:00:00:00:01"

// contest plays the agent that found another machine with the attachment's first address.
func (w *world) contest(pna v1alpha1.PodNetworkAttachment, ready metav1.ConditionStatus) (address string) {
	w.t.Helper()
	address, _, _ = strings.Cut(pna.Spec.Addresses[0].Address, "/")
	before := pna.DeepCopy()
	pna.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionReady, Status: ready,
		Reason: v1alpha1.ReasonDuplicateAddress, LastTransitionTime: metav1.Now()}}
	pna.Status.Conflicts = []v1alpha1.AddressConflict{{Address: address, MAC: foreignMAC}}
	w.must(w.Status().Patch(w.ctx, &pna, client.MergeFrom(before)))
	return address
}

// deleting waits until the operator has deleted the attachment, which its finalizer keeps.
func (w *world) deleting(pna v1alpha1.PodNetworkAttachment) {
	w.t.Helper()
	w.eventually("deletion of "+pna.Name, func() error {
		var current v1alpha1.PodNetworkAttachment
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(&pna), &current); err != nil {
			return err
		}
		if current.UID != pna.UID || current.DeletionTimestamp.IsZero() {
			return fmt.Errorf("UID %s, not being deleted", current.UID)
		}
		return nil
	})
}

// aside returns the addresses in the Network's status.
func (w *world) aside(network string) string {
	w.t.Helper()
	var n v1alpha1.Network
	w.must(w.Get(w.ctx, types.NamespacedName{Name: network}, &n))
	var all []string
	for _, s := range n.Status.SetAside {
		all = append(all, s.Address+" "+s.MAC)
	}
	return strings.Join(all, ", ")
}

// warned waits for an event about an object.
func (w *world) warned(kind, name, text string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("event on %s %s", kind, name), func() error {
		var list eventsv1.EventList
		w.must(w.List(w.ctx, &list))
		for _, e := range list.Items {
			if e.Regarding.Kind == kind && e.Regarding.Name == name && e.Reason == v1alpha1.ReasonDuplicateAddress &&
				strings.Contains(e.Note, text) && strings.Contains(e.Note, foreignMAC) {
				return nil
			}
		}
		return fmt.Errorf("none among %d events", len(list.Items))
	})
}

// counted reads multinet_addresses_set_aside_total as Prometheus does.
func (w *world) counted(network string) float64 {
	w.t.Helper()
	families, err := metrics.Registry.Gather()
	w.must(err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "multinet_addresses_set_aside_total" && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == network {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestContestedAddressIsReplaced(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.network("contested", ranges("10.20.0.0/29"))
	pod := w.pod("a", "contested", "node1")
	first := w.attached(pod, 1)["net1"]
	before := w.counted("contested")
	taken := w.contest(first, metav1.ConditionFalse)
	w.deleting(first)
	if got := w.aside("contested"); got != taken+" "+foreignMAC {
		t.Errorf("deleted before it was recorded: %q", got)
	}
	if got := w.counted("contested") - before; got != 1 {
		t.Errorf("the metric counts %v", got)
	}
	w.warned("Pod", "a", taken)
	w.warned("Network", "contested", taken)

	w.release(first)
	second := w.attached(pod, 1)["net1"]
	if second.Name != first.Name || second.UID == first.UID || strings.HasPrefix(addressList(second), taken+"/") {
		t.Errorf("%s %s became %s %s", first.Name, addressList(first), second.Name, addressList(second))
	}

	// Another operator knows of it too: four pods fill the range of six but for that one.
	stop()
	w.startManager()
	for i := range 4 {
		if pna := w.attached(w.pod(fmt.Sprintf("b%d", i), "contested", "node1"), 1)["net1"]; strings.HasPrefix(addressList(pna), taken+"/") {
			t.Errorf("%s got the foreign address", pna.Name)
		}
	}
	w.planned(w.pod("full", "contested", "node1"), corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted)
	if got := w.aside("contested"); got != taken+" "+foreignMAC {
		t.Errorf("after a restart %q is set aside", got)
	}
}

// What carries traffic is never touched, nor what would not come back; the pod's other attachment neither.
func TestContestedAddressOfOthersStays(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	running := w.attached(w.pod("running", "storage", "node1"), 1)["net1"]
	w.contest(running, metav1.ConditionTrue)
	ended := w.pod("ended", "storage", "node1")
	lonely := w.foreign("lonely", "10.20.0.200/24", false) // its pod does not exist
	w.contest(*lonely, metav1.ConditionFalse)
	both := w.attached(w.pod("both", "storage, storage@data", "node1"), 2)
	w.contest(both["data"], metav1.ConditionFalse)
	w.deleting(both["data"])
	for _, pna := range []v1alpha1.PodNetworkAttachment{running, *lonely, both["net1"], w.attached(ended, 1)["net1"]} {
		w.must(w.Get(w.ctx, client.ObjectKeyFromObject(&pna), &pna))
		if !pna.DeletionTimestamp.IsZero() {
			t.Errorf("%s was deleted", pna.Name)
		}
	}
	contested, _, _ := strings.Cut(both["data"].Spec.Addresses[0].Address, "/")
	if got := w.aside("storage"); got != contested+" "+foreignMAC {
		t.Errorf("set aside are %q, want %s", got, contested)
	}
}

// The time of an address that an earlier operator set aside ends: a pod that waits for it is woken.
func TestSetAsideEnds(t *testing.T) {
	w := newWorld(t)
	n := w.network("storage", ranges("10.20.0.0/30"))
	before := n.DeepCopy()
	since := metav1.NewTime(time.Now().Add(3*time.Second - ipam.AsideTime).Truncate(time.Second))
	n.Status.SetAside = []v1alpha1.SetAsideAddress{{Address: "10.20.0.2", MAC: foreignMAC, Since: since}}
	w.must(w.Status().Patch(w.ctx, n, client.MergeFrom(before)))
	w.startManager()
	w.attached(w.pod("a", "storage", "node1"), 1)
	waits := w.pod("waits", "storage", "node1")
	w.planned(waits, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted)
	if got := addressList(w.attached(waits, 1)["net1"]); got != "10.20.0.2/30" {
		t.Errorf("got %s", got)
	}
	w.eventually("the record to go", func() error {
		if got := w.aside("storage"); got != "" {
			return fmt.Errorf("set aside is %s", got)
		}
		return nil
	})
}
