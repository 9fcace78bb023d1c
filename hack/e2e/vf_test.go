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

// vfioNetwork is one for programs.
func vfioNetwork(pf string, vlan int32) v1alpha1.NetworkSpec {
	spec := vfNetwork(pf, vlan)
	spec.SRIOV.DeviceType = v1alpha1.VFDeviceTypeVFIO
	return spec
}

// TestVirtualFunctions: pods that only select a network are placed where its VFs are, get one for themselves, reach each
// other, outlive the agent, wait where their card has VFs left and no bandwidth, and leave the VFs as they found them. Then pods
// with claims of their own do so, and one that has a VF as it is.
func TestVirtualFunctions(t *testing.T) {
	node := startVM(t)
	s := newScene(t, node, nodeA)
	t.Cleanup(func() { s.dumpVM(node) })
	before := s.waitMade(node)
	s.waitDevices(node, before)
	s.network("red", vfNetwork("pf0", 100))
	s.network("blue", vfNetwork("pf1", 200))

	whole := s.wholeVF(before)
	s.network("green", vfioNetwork("pf1", 300))
	s.network("amber", vfioNetwork("pf0", 500))
	// The card has 1G, which its VFs share.
	paid := vfNetwork("pf0", 100)
	paid.QoSClassName = s.bandwidthClass("e2e-vf-400m", "400M", "").Name
	s.network("paid", paid)

	for name, selection := range map[string]string{"left": "paid@data, blue", "right": "blue@backup, paid@data", "program": "green"} {
		s.must(s.Create(s.ctx, s.vfPod(name, selection, 1)))
	}
	s.waitVFs(8*time.Minute, node, "left", "right", "program")
	s.vfsReach(node, "left", "right", map[string]string{"data": "data", "net2": "backup"})

	// What needs nothing but time in the machine, which is emulated, goes on beside the rest.
	s.startGPUs(node)
	s.createRefused()
	s.agentKilledUnderVFs(node, before)
	s.must(s.Create(s.ctx, s.vfPod("late", "paid@data", 1)))
	s.waitCondition("late", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonInsufficientBandwidth)
	s.waitRefused()
	s.remove(true, "left")
	s.remove(false, "refused")
	// Those that follow get the VFs of those that go.
	claimed := s.createOwnClaims()
	s.waitVFs(6*time.Minute, node, "right", "program", "late")
	s.vfsReach(node, "late", "right", map[string]string{"data": "data"})
	s.remove(false, "right", "program", "late")
	going := append([]string{"left", "refused", "right", "program", "late"}, s.ownClaims(node, claimed)...)
	drawn := s.createRandom()
	s.must(s.Create(s.ctx, s.vfPod("whole", "whole", 1)))
	// Whatever pods select, all that tells of their VFs tells of the same ones.
	s.waitVFs(8*time.Minute, node, drawn...)
	s.remove(false, drawn...)
	s.hasWhole(node, whole, "whole", before)
	s.remove(false, "whole")
	s.waitGone(4*time.Minute, append(going, append(drawn, "whole")...)...)
	s.waitClean(node, before)
}

// waitClean waits until the VFs are what they were, and the scheduler can have them.
func (s *scene) waitClean(node string, before guest) {
	s.t.Helper()
	s.until(3*time.Minute, "the VFs to be as before", func(ctx context.Context) error {
		after, err := s.guest(ctx, node)
		if diff := cmp.Diff(before.vfs, after.vfs, cmpopts.IgnoreUnexported(virtualFunction{})); diff != "" {
			return fmt.Errorf("(-before +after)\n%s", diff)
		}
		return err
	})
	s.waitDevices(node, before)
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
	s.until(2*time.Minute, "all to tell of the same VFs", func(ctx context.Context) error {
		g, err := s.guest(ctx, node)
		if err != nil {
			return err
		}
		devices, err := s.devices(ctx, node)
		trouble := []error{err}
		for _, name := range names {
			trouble = append(trouble, s.sameVFs(ctx, g, devices, name))
		}
		return errors.Join(trouble...)
	})
}

// vfsReach pings one pod from another by both families; links tells over which interface which other one is reached.
func (s *scene) vfsReach(node, from, to string, links map[string]string) {
	s.t.Helper()
	g, err := s.guest(s.ctx, node)
	s.must(err)
	source, sink := s.attachments(from), s.attachments(to)
	for here, there := range links {
		script := ""
		for _, a := range sink[there].Spec.Addresses {
			script += s.ping(g, source[here], a) + " -c 3 -i 0.2 -W 5 && "
		}
		if _, err := s.OnNode(s.ctx, node, "sh", "-c", script+"true"); err != nil {
			s.t.Errorf("pod %s over %s to %s of pod %s: %v", from, here, there, to, err)
		}
	}
}

// ping is the node's own, which tells more than that of the pods' image.
func (s *scene) ping(g guest, from v1alpha1.PodNetworkAttachment, to v1alpha1.AttachmentAddress) string {
	s.t.Helper()
	vf, found := g.vfs[from.Status.Device.PCIAddress]
	if !found {
		s.t.Fatalf("the machine has no VF %s of attachment %s", from.Status.Device.PCIAddress, from.Name)
	}
	address, _, _ := strings.Cut(to.Address, "/")
	return fmt.Sprintf("nsenter --net=%s ping -n -O -I %s %s", vf.inside.namespace, vf.Link, address)
}

// agentKilledUnderVFs: pods don't notice, and the agent knows them again. It finds a VF that somebody has changed, and offers it to
// nobody until it is as it was; the Node's events tell why.
func (s *scene) agentKilledUnderVFs(node string, before guest) {
	s.t.Helper()
	former, err := s.restarts(s.ctx, node)
	s.must(err)
	g, err := s.guest(s.ctx, node)
	s.must(err)
	ping := s.ping(g, s.attachments("left")["data"], s.attachments("right")["data"].Spec.Addresses[0])
	result := make(chan error, 1)
	go func() {
		out, err := s.OnNode(s.ctx, node, "sh", "-c", ping+" -i 0.5 -c 30")
		result <- errors.Join(err, lost(out))
	}()
	clean := s.dirtyVF(node, before, g)
	s.killAgent(node)
	s.until(2*time.Minute, "the agent to be back", func(ctx context.Context) error {
		now, err := s.restarts(ctx, node)
		if err == nil && now == former {
			err = errors.New("it has not restarted")
		}
		return err
	})
	clean()
	if err := <-result; err != nil {
		s.t.Errorf("the agent's end was noticed on the wire: %v", err)
	}
}

func sortedKeys(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
