//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestCheapestNetworkOfAClass: pods that select a class get the cheapest Network that has it and a place for them. That is on
// eth3, which has 1G and exists on nodeB only. The stock scheduler decides.
func TestCheapestNetworkOfAClass(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	class := s.bandwidthClass("e2e-bulk", "700M", "")
	offer := func(name, uplink string, cost int32) {
		spec := networkSpec(uplink)
		spec.AllowedQoSClasses, spec.Cost = []string{class.Name, "e2e-huge"}, ptr.To(cost)
		s.network(name, spec)
	}
	offer("dear", "eth1", 9)
	offer("cheap", "eth3", 1)
	// got checks which Network a pod is on, and what is said of it.
	got := func(pod, network, says string) {
		t.Helper()
		s.waitReady(time.Minute, pod)
		a := s.attachments(pod)["net1"].Spec
		if a.NetworkName != network || a.Choice == nil || strings.Join(a.Choice.Offered, ", ") != "cheap, dear" || !strings.Contains(a.Choice.Message, says) ||
			a.QoS == nil || a.QoS.ClassName != class.Name || a.QoS.Egress.Guaranteed.Value() != 700*megabit {
			t.Errorf("pod %s is on Network %s: %+v, class %+v; want %s, and %q", pod, a.NetworkName, a.Choice, a.QoS, network, says)
		}
		s.assertAttached(pod)
	}
	s.create("first", nodeB, "class=e2e-bulk")
	got("first", "cheap", "It is the cheapest")
	s.create("full", nodeB, "class=e2e-bulk")
	got("full", "dear", `Network "cheap" with QoSClass "e2e-bulk" guarantees 700M egress; nodes with a NIC for it that admit the pod: 1, with as much left: 0. The most is left on node `+nodeB+" (eth3): 300M of 1G egress")
	s.create("absent", nodeA, "class=e2e-bulk")
	got("absent", "dear", `Network "cheap" has no device on node "`+nodeA+`"`)
	s.reaches("absent", "full")
	s.remove(false, "first")
	s.waitGone(time.Minute, "first")
	s.until(time.Minute, "the claim of the first pod to be gone", func(ctx context.Context) error {
		var claims resourceapi.ResourceClaimList
		err := s.List(ctx, &claims, client.InNamespace(s.namespace))
		for _, claim := range claims.Items {
			if err == nil && strings.HasPrefix(claim.Name, "first-") {
				err = fmt.Errorf("claim %s is there", claim.Name)
			}
		}
		return err
	})
	s.create("next", nodeB, "class=e2e-bulk")
	got("next", "cheap", "It is the cheapest")

	s.bandwidthClass("e2e-huge", "20G", "")
	s.create("nowhere", nodeB, "class=e2e-huge")
	m := s.waitCondition("nowhere", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonClassUnavailable)
	for _, part := range []string{`none of the Networks that have QoSClass "e2e-huge" has a place for the pod`, `Network "cheap" with`, "of 1G egress", `Network "dear" with`, "of 10G egress"} {
		if !strings.Contains(m, part) {
			t.Errorf("the condition does not say %q: %s", part, m)
		}
	}
	s.unschedulable("nowhere")
}
