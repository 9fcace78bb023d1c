//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// cards of the virtual machine, named pf0 and so on, are all on one wire.
const cards = 2

// vfsPerCard is what the agents' configuration asks for.
const vfsPerCard = 4

// startVM adds the node whose network cards have virtual functions, for the time of one test: it costs others their CPU.
func startVM(t *testing.T) string {
	t.Helper()
	node, err := tool.StartVMNode(t.Context(), cards, gpuDriver())
	if err != nil {
		t.Fatal(err)
	}
	multi.VM = node
	t.Cleanup(func() {
		multi.VM = nil
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	return node.Name
}

// dumpVM says what the kubelet cannot: kubectl logs don't work for that node.
func (s *scene) dumpVM(node string) {
	if !s.t.Failed() {
		return
	}
	const logs = `for log in /var/log/pods/multinet-system_*/*/*.log /control/kubelet.log /control/containerd.log; do
	echo "== $log"; tail -n 30 "$log"; done; ip -br link; ip -d link show pf0; dmesg | tail -n 15`
	out, err := s.OnNode(s.ctx, node, "sh", "-c", logs)
	s.t.Logf("node %s (%v):\n%s", node, err, out)
}

// waitMade waits until the cards have the VFs that the agents' configuration asks for, and returns them as they are unused.
func (s *scene) waitMade(node string) (g guest) {
	s.t.Helper()
	s.until(2*time.Minute, "the agent to make VFs", func(ctx context.Context) (err error) {
		if g, err = s.guest(ctx, node); err != nil {
			return err
		}
		for address, vf := range g.vfs {
			if vf.Link == "" {
				return fmt.Errorf("%s has no interface yet", address)
			}
			// The card was asked before its VFs were listed, and may have had none then.
			if vf.Settings == "" {
				return fmt.Errorf("%s is not yet known to its card", address)
			}
		}
		if len(g.vfs) != vfsPerCard*cards {
			return fmt.Errorf("there are %d", len(g.vfs))
		}
		return nil
	})
	return g
}

// waitDevices waits until the scheduler can have every VF.
func (s *scene) waitDevices(node string, g guest) {
	s.t.Helper()
	s.until(2*time.Minute, "all VFs to be offered", func(ctx context.Context) error {
		devices, err := s.devices(ctx, node)
		for address := range g.vfs {
			d, found := devices[address]
			if !found {
				err = errors.Join(err, fmt.Errorf("%s is not in a ResourceSlice of %s", address, node))
			}
			if len(d.Taints) > 0 {
				err = errors.Join(err, fmt.Errorf("%s has taints %v", address, d.Taints))
			}
		}
		return err
	})
}

// devices are the VFs in a node's ResourceSlices, by PCI address.
func (s *scene) devices(ctx context.Context, node string) (map[string]resourceapi.Device, error) {
	var list resourceapi.ResourceSliceList
	if err := s.List(ctx, &list); err != nil {
		return nil, err
	}
	devices := map[string]resourceapi.Device{}
	for _, slice := range list.Items {
		if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil || *slice.Spec.NodeName != node {
			continue
		}
		for _, d := range slice.Spec.Devices {
			kind, address := d.Attributes[v1alpha1.DeviceAttributeKind].StringValue, d.Attributes["resource.kubernetes.io/pciBusID"].StringValue
			if kind != nil && *kind == string(v1alpha1.DeviceKindVF) && address != nil {
				devices[*address] = d
			}
		}
	}
	return devices, nil
}

// vfPod may be on the virtual machine, without asking for it. Its containers do nothing, and their image is there in no time.
func (s *scene) vfPod(name, selection string, containers int) *corev1.Pod {
	pod := s.pod(name, "", selection)
	onVM(pod)
	for i := 1; i < containers; i++ {
		another := *pod.Spec.Containers[0].DeepCopy()
		another.Name = fmt.Sprintf("box-%d", i)
		pod.Spec.Containers = append(pod.Spec.Containers, another)
	}
	return pod
}

// onVM has a pod tolerate the virtual machine, with an image that is there in no time, and without a token that nobody reads: each
// mount is work for the machine.
func onVM(pod *corev1.Pod) {
	pod.Spec.AutomountServiceAccountToken = ptr.To(false)
	container := &pod.Spec.Containers[0]
	container.Image, container.Command = "registry.k8s.io/pause:3.10", nil
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: cluster.VMLabel, Operator: corev1.TolerationOpExists})
}

// restarts of the agent's container on a node.
func (s *scene) restarts(ctx context.Context, node string) (int32, error) {
	var pods corev1.PodList
	err := s.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "multinet-agent"})
	for _, p := range pods.Items {
		if p.Spec.NodeName == node && cluster.PodReady(&p) == nil {
			return p.Status.ContainerStatuses[0].RestartCount, err
		}
	}
	return 0, fmt.Errorf("no agent is Ready on %s (%v)", node, err)
}
