package controllers

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// offering has a Network allow a class, at a cost.
func offering(class string, cost int32) edit {
	return func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses, n.Spec.Cost = []string{class}, &cost }
}

// offered waits until the template of a class lists the Networks, "" for no template.
func (w *world) offered(class, networks string) resourcev1.ResourceClaimSpec {
	w.t.Helper()
	var template resourcev1.ResourceClaimTemplate
	w.eventually(fmt.Sprintf("the template of class %s with %q", class, networks), func() error {
		err := w.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.ClassTemplateName(class)}, &template)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		var got []string
		if err == nil {
			for _, sub := range template.Spec.Spec.Devices.Requests[0].FirstAvailable {
				got = append(got, v1alpha1.NetworkOfDeviceClass(sub.DeviceClassName))
			}
		}
		if strings.Join(got, " ") != networks {
			return fmt.Errorf("it lists %v", got)
		}
		return nil
	})
	return template.Spec.Spec
}

// TestClassTemplateFollowsItsNetworks: costs, classes, namespaces, addresses and deletions all count.
func TestClassTemplateFollowsItsNetworks(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.sliceWith("node1", "10G")
	w.class("bulk", "1G")
	pod := w.pod("a", "class=bulk", "")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonClassNotOffered)
	w.network("dear", offering("bulk", 9))
	w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.offered("bulk", "dear")
	w.network("cheap", offering("bulk", 1), ranges("10.30.0.0/24"))
	w.network("ours", offering("bulk", 5), ranges("10.31.0.0/24"), func(n *v1alpha1.Network) {
		n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "storage"}}
	})
	w.offered("bulk", "cheap dear")
	w.labelNamespace("team", "storage")
	w.offered("bulk", "cheap ours dear")
	w.must(w.editNetwork("dear", func(n *v1alpha1.Network) { n.Spec.Cost, n.Spec.QoSClassName = nil, "bulk" }))
	w.offered("bulk", "dear cheap ours")
	w.editClass("bulk", func(s *v1alpha1.QoSClassSpec) { s.Cost = 3; guarantee("2G")(s) })
	spec := w.offered("bulk", "cheap dear ours")
	asked := spec.Devices.Requests[1].Exactly.Capacity.Requests[v1alpha1.DeviceCapacityBandwidth]
	if asked.Value() != 2e9 {
		t.Errorf("%s are asked for", asked.String())
	}

	w.must(w.editNetwork("cheap", func(n *v1alpha1.Network) {
		n.Spec.IPAM.Ranges[0].Start, n.Spec.IPAM.Ranges[0].End = "10.30.0.9", "10.30.0.9"
	}))
	w.eventually("the operator to know of the one address", func() error {
		var n v1alpha1.Network
		if err := w.Get(w.ctx, types.NamespacedName{Name: "cheap"}, &n); err != nil {
			return err
		}
		if n.Status.ObservedGeneration != n.Generation {
			return fmt.Errorf("it knows generation %d of %d", n.Status.ObservedGeneration, n.Generation)
		}
		return nil
	})
	last := w.pod("last", "cheap", "node1")
	w.attached(last, 1)
	w.offered("bulk", "dear ours")
	w.kill(last)
	w.offered("bulk", "cheap dear ours")

	for _, name := range []string{"dear", "ours"} {
		w.must(w.Delete(w.ctx, &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	w.offered("bulk", "cheap")
	w.must(w.editNetwork("cheap", func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = nil }))
	w.offered("bulk", "")
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonClassNotOffered)
}

// TestNetworkByClass: the pod is on what was allocated, and the attachment says why. Only eth1 of node1 is published.
func TestNetworkByClass(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.sliceWith("node1", "10G")
	w.class("bulk", "4G")
	w.network("dear", offering("bulk", 9))
	w.network("cheap", offering("bulk", 1), ranges("10.30.0.0/24"))
	w.network("absent", offering("bulk", 2), ranges("10.31.0.0/24"), func(n *v1alpha1.Network) {
		n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth7"}
	})
	for _, name := range []string{"x", "y"} {
		other := w.pod(name, "cheap", "node1")
		w.book(other, "node1", "4G")
		w.attached(other, 1)
	}
	full, fits := w.pod("full", "class=bulk@data", ""), w.pod("fits", "class=bulk", "")
	spec := w.offered("bulk", "cheap absent dear")
	for pod, c := range map[*corev1.Pod]struct{ network, iface, says string }{
		full: {"dear", "data", `The scheduler could not give a cheaper one on node "node1": Network "cheap" with QoSClass "bulk" guarantees 4G egress; nodes with a NIC for it that admit the pod: 1, ` +
			`with as much left: 0. The most is left on node node1 (eth1): 2G of 10G egress, 10G of 10G ingress; Network "absent" has no device on node "node1".`},
		fits: {"cheap", "net1", "It is the cheapest of those that were offered."},
	} {
		w.allocate(w.made(pod, spec), "nic/"+c.network, "node1", pod)
		w.bind(pod, "node1")
		a := w.attached(pod, 1)[c.iface].Spec
		if a.NetworkName != c.network || a.PodClaimName != "multinet--bulk-0" || a.Request != "nic" || a.QoS == nil || a.QoS.ClassName != "bulk" {
			t.Errorf("pod %s: %+v", pod.Name, a)
		}
		if a.Choice == nil || strings.Join(a.Choice.Offered, " ") != "cheap absent dear" || a.Choice.Message != c.says {
			t.Errorf("pod %s: choice %+v, want\n%s", pod.Name, a.Choice, c.says)
		}
	}
}
