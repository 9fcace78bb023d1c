//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// gpuDriver is the archive with the image of the driver that plays one for GPUs.
func gpuDriver() string { return filepath.Join(tool.Repository, "bin", "e2e", "gpudriver.tar") }

// buildGPUDriver makes it. Like the other images it is there before the first test.
func buildGPUDriver(ctx context.Context) error {
	archive := gpuDriver()
	binary := strings.TrimSuffix(archive, ".tar")
	if err := buildProgram(ctx, "./gpudriver", binary); err != nil {
		return err
	}
	return tool.Image(ctx, "multinet.dev/gpudriver:dev", binary, archive)
}

// startGPUs has two GPUs on the node: one on the PCIe root that the cards are on, and one on a root without a card.
func (s *scene) startGPUs(node string) {
	s.t.Helper()
	card, err := s.OnNode(s.ctx, node, "sh", "-c", "basename $(readlink /sys/class/net/pf0/device)")
	s.must(err)
	s.createFrom(func(pod *corev1.Pod) {
		pod.Spec.NodeName = node
		pod.Spec.Containers[0].Args = []string{"--node=" + node, "--gpus=near=" + strings.TrimSpace(card) + ",far=pci0000:fe"}
	}, "hack", "e2e", "testdata", "gpu.yaml")
}

// createOwnClaims creates the examples of demo/claims that are about VFs, and returns their pods as they are there.
func (s *scene) createOwnClaims() (made map[string]*corev1.Pod) {
	s.t.Helper()
	s.createFrom(nil, "demo", "claims", "networks.yaml")
	made = map[string]*corev1.Pod{}
	create := func(file string) {
		s.createFrom(func(pod *corev1.Pod) {
			made[pod.Name] = pod.DeepCopy()
			onVM(pod)
			pod.Spec.NodeSelector = map[string]string{cluster.VMLabel: ""}
		}, "demo", "claims", file)
	}
	create("gpu-and-vf.yaml")
	create("two-cards.yaml")
	create("vf-else-shared.yaml")
	modest := made["flexible"]
	modest.Spec.NodeSelector = map[string]string{corev1.LabelHostname: nodeA} // which has no VFs
	s.again(modest, "modest")
	return made
}

// ownClaims: each of those pods gets what it asks for, and where that is not to be had, waits or has its second choice. It returns
// the names of all pods, which are on their way out.
func (s *scene) ownClaims(node string, made map[string]*corev1.Pod) []string {
	s.t.Helper()
	s.waitVFs(6*time.Minute, node, "trainer", "redundant", "flexible")
	s.waitReady(3*time.Minute, "modest")
	s.belowOneRoot(node, "trainer")
	if a := s.attachments("redundant"); a["left"].Status.Device.PF == a["right"].Status.Device.PF {
		s.t.Errorf("both VFs are of card %s", a["left"].Status.Device.PF)
	}
	for pod, want := range map[string]string{"flexible": "claims-vf", "modest": "claims-shared"} {
		if a := s.attachments(pod)["data0"]; a.Spec.NetworkName != want || a.Spec.Request != "nic" {
			s.t.Errorf("pod %s is on Network %s by request %s, want %s", pod, a.Spec.NetworkName, a.Spec.Request, want)
		}
	}
	s.vfsReach(node, "redundant", "flexible", map[string]string{"left": "data0", "right": "data0"})
	s.vfsReach(node, "trainer", "redundant", map[string]string{"data0": "right"})

	// The GPU that is left has no VF beside it, and the claim that has a name serves one pod.
	trainer, redundant := made["trainer"], made["redundant"]
	onVM(trainer)
	onVM(redundant)
	s.again(trainer, "idle")
	s.again(redundant, "second")
	s.unschedulable("idle")
	const reason = v1alpha1.ReasonResourceClaimNotReady
	if m := s.waitCondition("second", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, reason); !strings.Contains(m, "reserved for 2 pods") {
		s.t.Errorf("the condition does not tell why: %s", m)
	}
	s.notReady("second")
	s.remove(false, "second", "idle", "trainer", "flexible", "modest")
	s.remove(true, "redundant")
	return []string{"second", "idle", "trainer", "redundant", "flexible", "modest"}
}

// belowOneRoot compares the PCIe roots of a pod's GPU and VF as the two drivers publish them.
func (s *scene) belowOneRoot(node, name string) {
	s.t.Helper()
	pod, err := s.get(s.ctx, name)
	s.must(err)
	claim, err := s.claimBehind(s.ctx, pod, "pair")
	s.must(err)
	s.until(time.Minute, "the devices of claim "+claim.Name+" to be below one PCIe root", func(ctx context.Context) error {
		var slices resourceapi.ResourceSliceList
		if err := s.List(ctx, &slices); err != nil {
			return err
		}
		roots := map[string]string{}
		for _, result := range claim.Status.Allocation.Devices.Results {
			for _, slice := range slices.Items {
				for _, d := range slice.Spec.Devices {
					if slice.Spec.Driver == result.Driver && slice.Spec.Pool.Name == node && d.Name == result.Device {
						roots[result.Request] = *d.Attributes["resource.kubernetes.io/pcieRoot"].StringValue
					}
				}
			}
		}
		if roots["gpu"] == "" || roots["gpu"] != roots["vf"] {
			return errors.Join(err, fmt.Errorf("the roots are %v", roots))
		}
		return nil
	})
}
