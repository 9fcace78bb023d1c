package controllers

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const gpuDriver = "gpu.example.com"

// newPlacement has on node1 two cards and two GPUs, of which one of each are below one PCIe root, and on both nodes a NIC that
// pods share.
func newPlacement(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.startManager()
	w.startScheduler()
	class := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: gpuDriver}, Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{
		{CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "` + gpuDriver + `"`}}}}}
	w.must(w.Create(w.ctx, class))
	t.Cleanup(func() { w.must(w.Delete(context.Background(), class)) })
	eth1 := device("uplink-eth1", true, map[resourcev1.QualifiedName]string{
		v1alpha1.DeviceAttributeKind: string(v1alpha1.DeviceKindUplink), v1alpha1.DeviceAttributeInterface: "eth1"})
	w.driverSlice(gpuDriver, "node1", gpu("gpu-far", "pci0000:80"), gpu("gpu-near", "pci0000:40"))
	w.driverSlice(v1alpha1.DriverName, "node1", eth1, vf("vf-0-0", "pf0", "pci0000:00"), vf("vf-0-1", "pf0", "pci0000:00"), vf("vf-1-0", "pf1", "pci0000:40"))
	w.driverSlice(v1alpha1.DriverName, "node2", eth1)
	w.example("networks.yaml")
	return w
}

func TestGPUAndVFBelowOneRoot(t *testing.T) {
	w := newPlacement(t)
	trainer := w.example("gpu-and-vf.yaml")[0]
	first := w.start(trainer, "trainer")
	if spec := w.attached(first, 1)["data0"].Spec; spec.NetworkName != "claims-vf" || spec.NodeName != "node1" || spec.Request != "vf" || spec.Type != v1alpha1.NetworkTypeSRIOV {
		t.Errorf("attachment %+v", spec)
	}
	if diff := cmp.Diff(map[string]string{"gpu": "gpu-near", "vf": "vf-1-0"}, w.devicesOf("trainer-pair")); diff != "" {
		t.Error(diff)
	}
	// There are a GPU and two VFs left, but not below one root.
	second := w.start(trainer, "idle")
	w.unschedulable(second)
	w.kill(first)
	w.endClaim(t.Context(), &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "trainer-pair"}})
	w.attached(second, 1)
}

func TestTwoCards(t *testing.T) {
	w := newPlacement(t)
	redundant := w.example("two-cards.yaml")[0]
	found := w.attached(w.start(redundant, "redundant"), 2)
	for iface, pna := range found {
		if pna.Spec.NetworkName != "claims-vf" || pna.Spec.PodClaimName != "nics" || pna.Spec.Request != iface {
			t.Errorf("%s: %+v", iface, pna.Spec)
		}
	}
	devices := w.devicesOf("two-cards")
	if (devices["left"] == "vf-1-0") == (devices["right"] == "vf-1-0") {
		t.Errorf("the VFs are %v, want one of each card", devices)
	}
}

func TestSecondChoice(t *testing.T) {
	w := newPlacement(t)
	flexible := w.example("vf-else-shared.yaml")[0]
	for _, name := range []string{"a", "b", "c"} {
		if spec := w.attached(w.start(flexible, name), 1)["data0"].Spec; spec.NetworkName != "claims-vf" || spec.NodeName != "node1" {
			t.Errorf("pod %s while VFs are left: %+v", name, spec)
		}
	}
	spec := w.attached(w.start(flexible, "d"), 1)["data0"].Spec
	if spec.NetworkName != "claims-shared" || spec.Request != "nic" || spec.Type != v1alpha1.NetworkTypeMacvlan || spec.Addresses[0].Address[:6] != "10.71." {
		t.Errorf("the pod that came too late for a VF: %+v", spec)
	}
}

func TestPairInOneRack(t *testing.T) {
	w := newWorld(t)
	for name, rack := range map[string]string{"node1": "a", "node2": "b", "node3": "b"} {
		w.rackNode(name, rack)
	}
	w.startManager()
	w.startScheduler()
	w.roomy("node3")
	pair := w.example("one-rack.yaml")
	nodes := map[string]bool{}
	for _, pod := range pair[:2] {
		spec := w.attached(w.start(pod, pod.Name), 1)["net1"].Spec
		if nodes[spec.NodeName] = true; spec.NetworkName != "claims-rack" || spec.RackLocal == nil || spec.RackLocal.Rack != "b" {
			t.Errorf("pod %s: %+v", pod.Name, spec)
		}
	}
	if !nodes["node2"] || !nodes["node3"] {
		t.Errorf("the pair is on %v", nodes)
	}
	w.unschedulable(w.start(pair[2], pair[2].Name))
}
