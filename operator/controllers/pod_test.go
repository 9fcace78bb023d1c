package controllers

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestBoundPodGetsAttachment(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	pod := w.pod("a", "storage, storage@data", "")
	w.eventually("template", func() error {
		var template resourcev1.ResourceClaimTemplate
		return w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: "storage.multinet.dev"}, &template)
	})
	if found := w.attachments(pod); len(found) > 0 {
		t.Fatalf("an unbound pod has attachments: %v", found)
	}
	w.bind(pod, "node1")
	found := w.attached(pod, 2)
	for iface, pna := range found {
		if len(pna.Spec.Addresses) != 2 || pna.Spec.NodeName != "node1" || len(pna.Spec.MAC) != 17 {
			t.Errorf("%s: %+v", iface, pna.Spec)
		}
		if !strings.HasSuffix(pna.Spec.Addresses[0].Address, "/24") || pna.Spec.Addresses[0].Gateway != "10.20.0.1" || !strings.HasSuffix(pna.Spec.Addresses[1].Address, "/64") {
			t.Errorf("%s: addresses %+v", iface, pna.Spec.Addresses)
		}
		if len(pna.Finalizers) != 1 || len(pna.OwnerReferences) != 1 || pna.OwnerReferences[0].UID != pod.UID {
			t.Errorf("%s: metadata %+v", iface, pna.ObjectMeta)
		}
	}
	if found["net1"].Spec.MAC == found["data"].Spec.MAC || addressList(found["net1"]) == addressList(found["data"]) {
		t.Errorf("two interfaces share an address or MAC: %v", found)
	}
	var p corev1.Pod
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pod), &p))
	if c := plannedCondition(&p); c != nil {
		t.Errorf("a pod without trouble was written to: %+v", c)
	}
}

func TestUnknownNetworkThenCreated(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	bound, unbound := w.pod("bound", "later", "node1"), w.pod("unbound", "later", "")
	for _, pod := range []*corev1.Pod{bound, unbound} {
		if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork); !strings.Contains(c.Message, `"later"`) {
			t.Errorf("message does not name the network: %s", c.Message)
		}
	}
	w.network("later")
	w.attached(bound, 1)
	w.planned(unbound, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.planned(bound, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	var p corev1.Pod
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(bound), &p))
	if p.Annotations[v1alpha1.AnnotationPlannedAt] == "" {
		t.Error("nothing tells the kubelet to look at the pod again")
	}
	w.eventually("event", func() error { return w.hasEvent(bound.UID, v1alpha1.ReasonUnknownNetwork) })
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = []string{"gold"} })
	host := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "host", Annotations: map[string]string{v1alpha1.AnnotationNetworks: "storage"}},
		Spec:       corev1.PodSpec{HostNetwork: true, NodeName: "node1", Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	w.must(w.Create(w.ctx, host))
	w.planned(host, corev1.ConditionFalse, v1alpha1.ReasonUnsupportedPod)
	w.planned(w.pod("malformed", "storage@a-name-that-is-too-long", "node1"), corev1.ConditionFalse, v1alpha1.ReasonMalformedSelection)
	pod := w.pod("class", "storage:gold", "node1")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonUnknownQoSClass)
	guaranteed := resource.MustParse("1G")
	w.must(w.Create(w.ctx, &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"},
		Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &guaranteed}}}))
	if qos := w.attached(pod, 1)["net1"].Spec.QoS; qos == nil || qos.ClassName != "gold" || qos.Egress.Guaranteed.Cmp(guaranteed) != 0 {
		t.Errorf("resolved QoS: %+v", qos)
	}
}

func TestNamespaceAdmittedLater(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", func(n *v1alpha1.Network) {
		n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "storage"}}
	})
	pod := w.pod("a", "storage", "node1")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonNotAdmitted)
	w.labelNamespace("team", "storage")
	w.attached(pod, 1)
	w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
}

func TestExhaustedThenFreed(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("tiny", ranges("10.21.0.0/31"))
	first, second := w.pod("a", "tiny", "node1"), w.pod("b", "tiny", "node1")
	w.attached(first, 1)
	w.attached(second, 1)
	third := w.pod("c", "tiny", "node1")
	if c := w.planned(third, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted); !strings.Contains(c.Message, "10.21.0.0/31") {
		t.Errorf("message does not name the range: %s", c.Message)
	}
	freed := addressList(w.attachments(first)["net1"])
	w.kill(first)
	if got := addressList(w.attached(third, 1)["net1"]); got != freed {
		t.Errorf("got %s, freed was %s", got, freed)
	}
	w.planned(third, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
}

// Two pods that each need both of two networks must not hold one and wait for the other.
func TestExhaustedHoldsNothing(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("many", ranges("10.22.0.0/24"))
	w.network("one", ranges("10.23.0.0/32"))
	holder := w.pod("holder", "one", "node1")
	w.attached(holder, 1)
	waiter := w.pod("waiter", "many,one", "node1")
	w.planned(waiter, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted)
	if found := w.attachments(waiter); len(found) != 0 {
		t.Errorf("holds %v while it waits", found)
	}
	w.must(w.editNetwork("one", ranges("10.23.0.0/32", "10.24.0.0/32")))
	w.attached(waiter, 2)
}

func TestEndedPodFrees(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	pod := w.pod("a", "storage", "node1")
	w.attached(pod, 1)
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodSucceeded
	w.must(w.Status().Patch(w.ctx, pod, client.MergeFrom(before)))
	w.eventually("deletion of the attachment", func() error {
		for _, pna := range w.attachments(pod) {
			if pna.DeletionTimestamp.IsZero() {
				return fmt.Errorf("%s is not being deleted", pna.Name)
			}
			w.release(pna)
		}
		if left := len(w.attachments(pod)); left > 0 {
			return fmt.Errorf("%d are left", left)
		}
		return nil
	})
}

func (w *world) hasEvent(uid types.UID, reason string) error {
	var list corev1.EventList
	if err := w.List(w.ctx, &list, client.InNamespace(w.namespace)); err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.InvolvedObject.UID == uid && e.Reason == reason {
			return nil
		}
	}
	return fmt.Errorf("no event %s among %d", reason, len(list.Items))
}

func (w *world) labelNamespace(key, value string) {
	w.t.Helper()
	var ns corev1.Namespace
	w.must(w.Get(w.ctx, types.NamespacedName{Name: w.namespace}, &ns))
	before := ns.DeepCopy()
	ns.Labels[key] = value
	w.must(w.Patch(w.ctx, &ns, client.MergeFrom(before)))
}

func (w *world) editNetwork(name string, changes ...edit) error {
	var n v1alpha1.Network
	if err := w.Get(w.ctx, types.NamespacedName{Name: name}, &n); err != nil {
		return err
	}
	before := n.DeepCopy()
	for _, change := range changes {
		change(&n)
	}
	return w.Patch(w.ctx, &n, client.MergeFrom(before))
}
