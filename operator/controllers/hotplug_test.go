package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// reselect edits the annotation as a user does, with the note of the admission policy, which is not installed here.
func (w *world) reselect(pod *corev1.Pod, networks string) {
	w.t.Helper()
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(pod), pod))
	before := pod.DeepCopy()
	if _, noted := pod.Annotations[v1alpha1.AnnotationAtCreation]; !noted {
		pod.Annotations[v1alpha1.AnnotationAtCreation] = pod.Annotations[v1alpha1.AnnotationNetworks]
	}
	pod.Annotations[v1alpha1.AnnotationNetworks] = networks
	w.must(w.Patch(w.ctx, pod, client.MergeFrom(before)))
}

// offer plays the agent of a node that has eth1.
func (w *world) offer(node string) {
	w.t.Helper()
	text := func(s string) resourcev1.DeviceAttribute { return resourcev1.DeviceAttribute{StringValue: &s} }
	slice := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourcev1.ResourceSliceSpec{
		Driver: v1alpha1.DriverName, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1},
		Devices: []resourcev1.Device{{Name: "uplink-eth1", AllowMultipleAllocations: ptr.To(true), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
			v1alpha1.DeviceAttributeKind: text(string(v1alpha1.DeviceKindUplink)), v1alpha1.DeviceAttributeInterface: text("eth1")}}},
	}}
	w.must(w.Create(w.ctx, slice))
	w.t.Cleanup(func() { w.must(w.Delete(context.WithoutCancel(w.ctx), slice)) })
}

// going waits until an interface is told to go, and plays the agent that lets it.
func (w *world) going(pod *corev1.Pod, iface string) {
	w.t.Helper()
	var pna v1alpha1.PodNetworkAttachment
	w.eventually("interface "+iface+" is told to go", func() error {
		pna = w.attachments(pod)[iface]
		if !pna.Spec.Detach || pna.DeletionTimestamp == nil {
			return fmt.Errorf("detach %t, deletion %v", pna.Spec.Detach, pna.DeletionTimestamp)
		}
		return nil
	})
	w.release(pna)
}

func TestRunningPodIsGivenInterfaces(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.network("more", ranges("10.99.0.0/24"))
	w.network("far", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth9"} })
	w.offer("node1")
	pod := w.pod("a", "storage", "node1")
	first := w.attached(pod, 1)["net1"]

	w.reselect(pod, "storage,far,more@data")
	found := w.attached(pod, 2)
	if spec := found["data"].Spec; spec.PodClaimName != "" || spec.NodeName != "node1" || !strings.HasPrefix(spec.Addresses[0].Address, "10.99.0.") {
		t.Errorf("added: %+v", spec)
	}
	if found["net1"].UID != first.UID {
		t.Error("what the pod had was made anew")
	}
	if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonNotOnNode); !strings.Contains(c.Message, `network "far" interface net2`) {
		t.Errorf("message: %s", c.Message)
	}
	w.eventually("event", func() error { return w.hasEvent(pod.UID, v1alpha1.ReasonNotOnNode) })

	w.reselect(pod, "storage")
	w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.going(pod, "data")
	w.attached(pod, 1)

	// Its claim is there still, and carries it again.
	w.reselect(pod, "")
	w.going(pod, "net1")
	w.attached(pod, 0)
	w.reselect(pod, "storage@again")
	if spec := w.attached(pod, 1)["again"].Spec; spec.PodClaimName != "multinet-storage-0" || spec.Request == "" {
		t.Errorf("added again: %+v", spec)
	}
}

// TestInterfaceOfAnotherNetwork: the object of an interface has one name, so that the new one waits for the end of the old.
func TestInterfaceOfAnotherNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	w.network("more", ranges("10.99.0.0/24"))
	w.offer("node1")
	pod := w.pod("a", "storage@data", "node1")
	w.attached(pod, 1)
	w.reselect(pod, "more@data")
	w.going(pod, "data")
	w.eventually("the new one", func() error {
		if pna := w.attachments(pod)["data"]; pna.Spec.NetworkName != "more" || pna.Spec.Detach {
			return fmt.Errorf("is %+v", pna.Spec)
		}
		return nil
	})
}

// TestOwnersDeletionIsNoDetach: an attachment that goes with its pod, or by hand, is left to the end of the sandbox.
func TestOwnersDeletionIsNoDetach(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	pod := w.pod("a", "storage", "node1")
	pna := w.attached(pod, 1)["net1"]
	w.must(w.Delete(w.ctx, &pna))
	w.reselect(pod, "storage")
	w.eventually("deleted", func() error {
		if pna = w.attachments(pod)["net1"]; pna.DeletionTimestamp == nil {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if pna.Spec.Detach {
		t.Error("the node was told to take the interface off a pod that selects it")
	}
}
