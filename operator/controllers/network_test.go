package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// networkIs waits for a condition of a Network and returns it.
func (w *world) networkIs(name, kind string, status metav1.ConditionStatus, reason string) v1alpha1.Network {
	w.t.Helper()
	var n v1alpha1.Network
	w.eventually(fmt.Sprintf("network %s %s=%s/%s", name, kind, status, reason), func() error {
		if err := w.Get(w.ctx, types.NamespacedName{Name: name}, &n); err != nil {
			return err
		}
		c := meta.FindStatusCondition(n.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition is %+v", c)
		}
		return nil
	})
	return n
}

// slice publishes eth1 of a node as the agent does.
func (w *world) slice(node string) {
	w.t.Helper()
	w.sliceWith(node, "1G")
}

func (w *world) sliceWith(node, bandwidth string) {
	w.t.Helper()
	zero, shared := resource.MustParse("0"), true
	capacity := resourcev1.DeviceCapacity{Value: resource.MustParse(bandwidth), RequestPolicy: &resourcev1.CapacityRequestPolicy{
		Default: &zero, ValidRange: &resourcev1.CapacityRequestPolicyRange{Min: &zero}}}
	kind, iface := string(v1alpha1.DeviceKindUplink), "eth1"
	s := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-multinet"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: v1alpha1.DriverName, NodeName: &node,
			Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1},
			Devices: []resourcev1.Device{{Name: "eth1", AllowMultipleAllocations: &shared, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
				v1alpha1.DeviceAttributeKind:      {StringValue: &kind},
				v1alpha1.DeviceAttributeInterface: {StringValue: &iface},
				v1alpha1.DeviceAttributeNIC:       {StringValue: &iface},
			}, Capacity: map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{
				v1alpha1.DeviceCapacityBandwidth: capacity, v1alpha1.DeviceCapacityIngress: capacity,
			}}},
		},
	}
	w.must(w.Create(w.ctx, s))
	w.t.Cleanup(func() { _ = w.Delete(context.Background(), s) })
}

func TestNetworkStatus(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.networkIs("storage", "Ready", metav1.ConditionFalse, v1alpha1.ReasonNoUplink)
	w.slice("node1")
	w.slice("node2")
	w.attached(w.pod("a", "storage", "node1"), 1)
	w.networkIs("storage", "Accepted", metav1.ConditionTrue, v1alpha1.ReasonValid)
	n := w.networkIs("storage", "Ready", metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.eventually("counts", func() error {
		w.must(w.Get(w.ctx, client.ObjectKeyFromObject(&n), &n))
		s := n.Status
		if s.Attachments != 1 || s.Nodes != 2 || len(s.Ranges) != 2 || s.Ranges[0].Total != "253" || s.Ranges[0].Free != "252" ||
			s.Ranges[1].Total != "18446744073709551615" || s.Ranges[1].Allocated != "1" {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	var class resourcev1.DeviceClass
	w.must(w.Get(w.ctx, types.NamespacedName{Name: "storage.multinet.dev"}, &class))
}

func TestNetworkQoSClassAndTemplateFollow(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.slice("node1")
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" })
	w.networkIs("storage", "Ready", metav1.ConditionFalse, v1alpha1.ReasonQoSClassNotFound)
	one, two := resource.MustParse("1G"), resource.MustParse("2G")
	gold := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"},
		Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &one}}}
	w.must(w.Create(w.ctx, gold))
	w.networkIs("storage", "Ready", metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.pod("a", "storage", "")
	asks := func(want resource.Quantity) func() error {
		return func() error {
			var template resourcev1.ResourceClaimTemplate
			if err := w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: "storage.multinet.dev"}, &template); err != nil {
				return err
			}
			capacity := template.Spec.Spec.Devices.Requests[0].Exactly.Capacity
			if capacity == nil || capacity.Requests["bandwidth"] != want && !want.Equal(capacity.Requests["bandwidth"]) {
				return fmt.Errorf("capacity %+v", capacity)
			}
			return nil
		}
	}
	w.eventually("template with 1G", asks(one))
	before := gold.DeepCopy()
	gold.Spec.Egress.Guaranteed = &two
	w.must(w.Patch(w.ctx, gold, client.MergeFrom(before)))
	w.eventually("template with 2G", asks(two))
}

func TestNetworkEditedWhileInUse(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.slice("node1")
	w.network("storage", ranges("10.20.0.0/24"))
	running := w.pod("a", "storage", "node1")
	before := w.attached(running, 1)["net1"]
	w.must(w.editNetwork("storage", ranges("10.30.0.0/24")))
	n := w.networkIs("storage", "Ready", metav1.ConditionTrue, v1alpha1.ReasonRangeInUse)
	message := meta.FindStatusCondition(n.Status.Conditions, "Ready").Message
	if !strings.Contains(message, "10.20.0.1") || !strings.Contains(message, before.Name) {
		t.Errorf("message does not name the address and its holder: %s", message)
	}
	next := w.attached(w.pod("b", "storage", "node1"), 1)["net1"]
	if !strings.HasPrefix(addressList(next), "10.30.0.") {
		t.Errorf("new pod got %s", addressList(next))
	}
	if after := w.attachments(running)["net1"]; after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the running pod's attachment was touched: %+v", after)
	}
	w.kill(running)
	w.networkIs("storage", "Ready", metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func TestDeleteNetworkInUse(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	n := w.network("storage")
	pod := w.pod("a", "storage", "node1")
	w.attached(pod, 1)
	w.must(w.Delete(w.ctx, n))
	w.networkIs("storage", "Ready", metav1.ConditionFalse, v1alpha1.ReasonInUse)
	w.planned(w.pod("b", "storage", "node1"), "False", v1alpha1.ReasonNetworkDeleting)
	w.kill(pod)
	w.eventually("the network to go", func() error {
		err := w.Get(w.ctx, types.NamespacedName{Name: "storage"}, n)
		if client.IgnoreNotFound(err) == nil && err != nil {
			return nil
		}
		return fmt.Errorf("still there: %w", err)
	})
}

// A Network that is not held yet could go away under its attachments.
func TestNothingIsAttachedToNetworkThatIsNotHeld(t *testing.T) {
	w := newWorld(t)
	n := w.network("storage")
	r := &PodReconciler{Client: w.Client, Live: w.Client, Allocator: NewAllocator()}
	pod := w.pod("a", "storage", "node1")
	if _, err := r.attach(w.ctx, pod, []decide.Planned{{Network: n}}); !errors.Is(err, errNotHeld) {
		t.Errorf("error is %v", err)
	}
}

func TestOverlappingNetworksAreReported(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("a", ranges("10.20.0.0/24"))
	w.network("b", ranges("10.20.0.0/16"))
	for _, name := range []string{"a", "b"} {
		w.networkIs(name, v1alpha1.NetworkConditionAddressConflict, metav1.ConditionTrue, v1alpha1.ReasonAddressConflict)
	}
	w.must(w.editNetwork("b", ranges("10.21.0.0/16")))
	w.eventually("the conflict to end", func() error {
		var n v1alpha1.Network
		w.must(w.Get(w.ctx, types.NamespacedName{Name: "a"}, &n))
		if c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.NetworkConditionAddressConflict); c != nil {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}
