//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestUplinkOnNoNode(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.network("nowhere", networkSpec("eth9"))
	network := s.waitNetwork("nowhere", metav1.ConditionFalse, v1alpha1.ReasonNoUplink)
	if network.Status.Nodes != 0 {
		t.Errorf("status.nodes is %d", network.Status.Nodes)
	}
	s.create("waiting", "", "nowhere")
	s.waitCondition("waiting", corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)
	s.waitCondition("waiting", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonNoNode)
	s.notReady("waiting")
}

func TestUplinkOnOneNode(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.network("lonely", networkSpec("eth3"))
	network := s.waitNetwork("lonely", metav1.ConditionTrue, v1alpha1.ReasonReady)
	if network.Status.Nodes != 1 {
		t.Errorf("status.nodes is %d", network.Status.Nodes)
	}
	names := s.createMany(3, "placed", "", "lonely")
	s.waitReady(time.Minute, names...)
	for _, name := range names {
		pod, err := s.get(s.ctx, name)
		s.must(err)
		if pod.Spec.NodeName != nodeB {
			t.Errorf("pod %s is on %s, which has no eth3", name, pod.Spec.NodeName)
		}
	}
}

func TestRangeExhaustedThenFreed(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	spec := networkSpec("eth1")
	v4 := &spec.IPAM.Ranges[0]
	prefix := strings.TrimSuffix(v4.CIDR, "0/24")
	v4.Start, v4.End = prefix+"10", prefix+"11"
	spec.IPAM.Quarantine = &metav1.Duration{}
	s.network("tiny", spec)
	s.createMany(2, "fits", "", "tiny")
	s.waitReady(time.Minute, "fits-0", "fits-1")
	s.create("late", "", "tiny")
	if m := s.waitCondition("late", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonRangeExhausted); !strings.Contains(m, v4.CIDR) {
		t.Errorf("the condition does not name the range: %s", m)
	}
	s.waitEvent("late", v1alpha1.ReasonRangeExhausted)
	s.notReady("late")
	freed := s.attachments("fits-0")["net1"].Spec.Addresses[0]
	s.remove(false, "fits-0")
	s.waitReady(time.Minute, "late")
	if got := s.attachments("late")["net1"].Spec.Addresses[0]; got != freed {
		t.Errorf("the pod that waited got %v and not %v, the only one that was free", got, freed)
	}
}

func TestNetworkEditedWhileInUse(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	network := s.network("edited", networkSpec("eth1"))
	before := s.create("before", nodeA, "edited")
	s.waitReady(time.Minute, "before")
	had := s.attachments("before")["net1"].Spec

	s.must(s.edit(network, func(spec *v1alpha1.NetworkSpec) { spec.MTU = ptr.To[int32](1400) }))
	s.create("after", nodeB, "edited")
	s.waitReady(time.Minute, "after")
	if mtu := s.attachments("after")["net1"].Status.MTU; mtu != 1400 {
		t.Errorf("a pod made after the edit has an MTU of %d", mtu)
	}
	// A range that attachments hold addresses of may go: the Network says who still has some, and running pods keep them.
	s.must(s.edit(network, func(spec *v1alpha1.NetworkSpec) { spec.IPAM.Ranges = networkSpec("eth1").IPAM.Ranges }))
	s.waitNetwork("edited", metav1.ConditionTrue, v1alpha1.ReasonRangeInUse)
	s.assertAttached("before", "after")
	if now := s.attachments("before")["net1"].Spec; !slices.Equal(now.Addresses, had.Addresses) || now.MTU != had.MTU {
		t.Errorf("the order of a running pod changed from %v to %v", had, now)
	}
	pod, err := s.get(s.ctx, "before")
	s.must(err)
	if pod.UID != before.UID || pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("a running pod was touched")
	}
	if err := s.edit(network, func(spec *v1alpha1.NetworkSpec) { spec.Macvlan.Mode = v1alpha1.MacvlanModeVEPA }); !apierrors.IsInvalid(err) {
		t.Errorf("changing the mode said %v, want a refusal", err)
	}
}

func TestNetworkDeletedWhileInUse(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	network := s.network("doomed", networkSpec("eth1"))
	s.create("user", "", "doomed")
	s.waitReady(time.Minute, "user")
	s.must(s.Delete(s.ctx, network))
	s.waitNetwork("doomed", metav1.ConditionFalse, v1alpha1.ReasonInUse)
	s.create("newcomer", "", "doomed")
	s.waitCondition("newcomer", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonNetworkDeleting)
	s.remove(false, "newcomer", "user")
	s.until(time.Minute, "the Network to be gone", func(ctx context.Context) error {
		if err := s.Get(ctx, client.ObjectKeyFromObject(network), network); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there (%v), conditions %v", err, network.Status.Conditions)
		}
		return nil
	})
}

// edit changes the spec of a Network as it is now.
func (s *scene) edit(network *v1alpha1.Network, change func(*v1alpha1.NetworkSpec)) error {
	s.t.Helper()
	s.must(s.Get(s.ctx, client.ObjectKeyFromObject(network), network))
	patch := client.MergeFrom(network.DeepCopy())
	change(&network.Spec)
	return s.Patch(s.ctx, network, patch)
}
