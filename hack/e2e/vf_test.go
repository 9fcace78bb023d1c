//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// vfNetwork is a dual stack network on the VFs of one card.
func vfNetwork(pf string, vlan int32) v1alpha1.NetworkSpec {
	spec := networkSpec("")
	spec.Type, spec.Macvlan = v1alpha1.NetworkTypeSRIOV, nil
	spec.SRIOV = &v1alpha1.SRIOVSpec{Device: v1alpha1.VFSelector{PFNames: []v1alpha1.InterfaceName{v1alpha1.InterfaceName(pf)}}, VLAN: &vlan}
	return spec
}

// TestVirtualFunctions: pods that only select a network are placed where its VFs are, get one for themselves, reach each
// other, outlive the agent, and leave the VFs as they found them.
func TestVirtualFunctions(t *testing.T) {
	node := startVM(t)
	s := newScene(t, node)
	t.Cleanup(func() { s.dumpVM(node) })
	_, err := s.OnNode(s.ctx, node, "sh", "-c", "for pf in /sys/class/net/pf*; do echo 4 >$pf/device/sriov_numvfs; done")
	s.must(err)
	before, err := s.virtualFunctions(s.ctx, node)
	s.must(err)
	if len(before) != 4*cards {
		t.Fatalf("the machine has VFs %v", before)
	}
	s.waitDevices(node, before)
	s.network("red", vfNetwork("pf0", 100))
	s.network("blue", vfNetwork("pf1", 200))

	for name, selection := range map[string]string{"left": "red@data, blue", "right": "blue@backup, red@data"} {
		pod := tolerating(s.pod(name, "", selection))
		second := *pod.Spec.Containers[0].DeepCopy()
		second.Name = "second"
		pod.Spec.Containers = append(pod.Spec.Containers, second)
		s.must(s.Create(s.ctx, pod))
	}
	s.waitVFs(2*time.Minute, node, "left", "right")
	s.vfsReach("left", "right", map[string]string{"data": "data", "net2": "backup"})

	s.agentKilledUnderVFs(node)
	s.must(s.Create(s.ctx, tolerating(s.pod("late", "", "red@data"))))
	s.waitVFs(time.Minute, node, "left", "right", "late")
	s.vfsReach("late", "left", map[string]string{"data": "data"})

	s.remove(true, "left")
	s.remove(false, "right", "late")
	s.waitGone(time.Minute, "left", "right", "late")
	s.until(time.Minute, "the VFs to be as before", func(ctx context.Context) error {
		after, err := s.virtualFunctions(ctx, node)
		if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(virtualFunction{})); diff != "" {
			return fmt.Errorf("(-before +after)\n%s", diff)
		}
		return err
	})
	s.waitDevices(node, before)
}

// waitDevices waits until the scheduler can have every VF.
func (s *scene) waitDevices(node string, vfs map[string]virtualFunction) {
	s.t.Helper()
	s.until(time.Minute, "all VFs to be offered", func(ctx context.Context) error {
		devices, err := s.devices(ctx, node)
		for address := range vfs {
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

// waitVFs waits until the pods are Ready on the node, and then for all that tells of their VFs to say the same.
func (s *scene) waitVFs(limit time.Duration, node string, names ...string) {
	s.t.Helper()
	s.until(limit, "pods "+strings.Join(names, ", ")+" to be Ready", func(ctx context.Context) error {
		var trouble []error
		for _, name := range names {
			pod, err := s.get(ctx, name)
			if err == nil {
				err = cluster.PodReady(pod)
			}
			if pod.Spec.NodeName != "" && pod.Spec.NodeName != node {
				s.t.Fatalf("pod %s is on %s, which has no VFs", name, pod.Spec.NodeName)
			}
			trouble = append(trouble, err)
		}
		return errors.Join(trouble...)
	})
	for _, name := range names {
		s.until(20*time.Second, "one identity of the VFs of pod "+name, func(ctx context.Context) error { return s.sameVFs(ctx, node, name) })
	}
}

// vfsReach pings one pod from another by both families; links tells over which interface which other one is reached.
func (s *scene) vfsReach(from, to string, links map[string]string) {
	s.t.Helper()
	pod, err := s.get(s.ctx, from)
	s.must(err)
	target := s.attachments(to)
	for source, sink := range links {
		for _, a := range target[sink].Spec.Addresses {
			address, _, _ := strings.Cut(a.Address, "/")
			if _, err := s.InPod(s.ctx, pod, "ping", "-I", source, "-c", "3", "-i", "0.2", "-W", "5", address); err != nil {
				s.t.Errorf("pod %s over %s to %s of pod %s: %v", from, source, sink, to, err)
			}
		}
	}
}

// agentKilledUnderVFs: pods don't notice, and the agent knows them again.
func (s *scene) agentKilledUnderVFs(node string) {
	s.t.Helper()
	_, former, err := s.restarts(s.ctx, node)
	s.must(err)
	pod, err := s.get(s.ctx, "left")
	s.must(err)
	address, _, _ := strings.Cut(s.attachments("right")["data"].Spec.Addresses[0].Address, "/")
	ping := make(chan error, 1)
	go func() {
		out, err := s.InPod(s.ctx, pod, "ping", "-n", "-O", "-i", "0.5", "-c", "30", address)
		ping <- errors.Join(err, lost(out))
	}()
	s.killAgent(node)
	s.until(time.Minute, "the agent to be back", func(ctx context.Context) error {
		_, now, err := s.restarts(ctx, node)
		if err == nil && now == former {
			err = errors.New("it has not restarted")
		}
		return err
	})
	if err := <-ping; err != nil {
		s.t.Errorf("the agent's end was noticed on the wire: %v", err)
	}
}

// names of the containers of a pod.
func containers(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

func sortedKeys(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
