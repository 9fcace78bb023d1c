//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// annotate is kubectl annotate --overwrite.
func (s *scene) annotate(name, key, value string) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{key: value}}})
	s.must(err)
	s.must(s.Patch(s.ctx, s.pod(name, "", ""), client.RawPatch(types.MergePatchType, patch)))
}

// waitHas waits until the pod has what it selects, in the API and in the kernel, and its annotations tell so. It returns how long
// that took.
func (s *scene) waitHas(name string, interfaces ...string) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.until(30*time.Second, fmt.Sprintf("pod %s to have the interfaces %v", name, interfaces), func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err != nil {
			return err
		}
		status, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
		if err != nil {
			return err
		}
		var told []string
		for _, i := range status[1:] {
			told = append(told, i.Interface)
		}
		slices.Sort(told)
		if !slices.Equal(told, interfaces) {
			return fmt.Errorf("network-status names %v", told)
		}
		ips, err := netstatus.DecodePodIPs(pod.Annotations[v1alpha1.AnnotationPodIPs])
		if err != nil || len(ips) != 2*len(interfaces) {
			return fmt.Errorf("pod-ips (%v): %v", err, ips)
		}
		return nil
	})
	took := time.Since(start)
	s.assertAttached(name)
	return took
}

// TestRunningPodGetsAndLosesNetworks: one that had a network and one that had none, with an agent that is killed in between.
func TestRunningPodGetsAndLosesNetworks(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.network("hotplug-a", networkSpec("eth1"))
	s.network("hotplug-b", networkSpec("eth1"))
	s.create("left", nodeA, "hotplug-a@first")
	s.create("right", nodeB, "")
	s.create("peer", nodeB, "hotplug-a@first,hotplug-b@second")
	s.waitReady(time.Minute, "left", "peer")
	s.until(time.Minute, "pod right to run", func(ctx context.Context) error {
		if pod, err := s.get(ctx, "right"); err != nil || pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s (%v)", pod.Status.Phase, err)
		}
		return nil
	})

	s.annotate("left", v1alpha1.AnnotationNetworks, "hotplug-a@first,hotplug-b@second")
	t.Logf("a second network after %s", s.waitHas("left", "first", "second"))
	s.annotate("right", v1alpha1.AnnotationNetworks, "hotplug-b@second")
	t.Logf("a first network after %s", s.waitHas("right", "second"))
	s.reachesOver("first", "left", "peer")
	s.reachesOver("second", "left", "peer")
	s.reachesOver("second", "right", "peer")

	s.annotate("left", v1alpha1.AnnotationNetworks, "hotplug-b@second")
	t.Logf("a network less after %s", s.waitHas("left", "second"))
	s.killAgent(nodeA)
	s.annotate("left", v1alpha1.AnnotationNetworks, "hotplug-a@again")
	t.Logf("another network, with an agent that was killed, after %s", s.waitHas("left", "again"))
	if claim := s.attachments("left")["again"].Spec.PodClaimName; claim == "" {
		t.Error("the claim that the pod has for the network was not used again")
	}
	s.annotate("right", v1alpha1.AnnotationNetworks, "")
	s.waitHas("right")
	pod, err := s.get(s.ctx, "left")
	s.must(err)
	if pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("a container was started again")
	}
}

// TestWhatARunningPodCannotGet is refused with a reason, and the rest comes.
func TestWhatARunningPodCannotGet(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	guaranteed := resource.MustParse("1M")
	class := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "hotplug-gold"},
		Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &guaranteed}}}
	s.must(s.Create(s.ctx, class))
	t.Cleanup(func() { s.must(s.Delete(s.ctx, class)) })
	spec := networkSpec("eth1")
	spec.AllowedQoSClasses = []string{"hotplug-gold"}
	s.network("hotplug-c", spec)
	s.network("hotplug-far", networkSpec("eth3"))
	s.network("hotplug-vf", v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeSRIOV,
		SRIOV: &v1alpha1.SRIOVSpec{Device: v1alpha1.VFSelector{PFNames: []v1alpha1.InterfaceName{"ens9"}}}})
	s.create("pod", nodeA, "hotplug-c@first")
	s.waitReady(time.Minute, "pod")
	for element, reason := range map[string]string{
		"hotplug-vf@vf":               v1alpha1.ReasonNeedsScheduling,
		"hotplug-c@gold:hotplug-gold": v1alpha1.ReasonNeedsScheduling,
		"hotplug-far@far":             v1alpha1.ReasonNotOnNode,
	} {
		s.annotate("pod", v1alpha1.AnnotationNetworks, "hotplug-c@first,"+element+",hotplug-c@more")
		selected, err := selection.Parse(element)
		s.must(err)
		s.waitEventWith("pod", reason, "interface "+selected[0].Interface)
		s.waitCondition("pod", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, reason)
		s.until(30*time.Second, "the other element", func(context.Context) error {
			if found := s.attachments("pod"); len(found) != 2 || found["more"].Status.SandboxID == "" {
				return fmt.Errorf("attachments %v", found)
			}
			return nil
		})
	}
	s.annotate("pod", v1alpha1.AnnotationNetworks, "hotplug-c@first,hotplug-c@more")
	s.waitCondition("pod", v1alpha1.PodConditionPlanned, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	s.waitHas("pod", "first", "more")
}

// TestRunningPodOfMultus: the same by the annotation of Multus, in its JSON form too, with a default route that goes with its interface.
func TestRunningPodOfMultus(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.adoptDefinitions()
	s.applyDefinition(s.namespace, fmt.Sprintf(multusManifest, networkSpec("eth1").IPAM.Ranges[0].CIDR))
	s.createOfMultus("pod", nodeA, "lan")
	s.waitReady(time.Minute, "pod")
	s.annotate("pod", npwg.AnnotationNetworks, "lan,lan@data0")
	t.Logf("a second network after %s", s.waitAttached("pod", "data0", "net1"))

	neighbour := netip.MustParsePrefix(s.attachments("pod")["net1"].Status.Addresses[0]).Addr().As4()
	neighbour[3] = 250
	gateway := netip.AddrFrom4(neighbour)
	s.annotate("pod", npwg.AnnotationNetworks, fmt.Sprintf(
		`[{"name": "lan"}, {"name": "lan", "interface": "data1", "default-route": ["%s"]}, {"name": "lan", "interface": "data2"}]`, gateway))
	t.Logf("one network less and two more after %s", s.waitAttached("pod", "data1", "data2", "net1"))
	s.leavesBy("pod", fmt.Sprintf("via %s dev data1", gateway))
	s.annotate("pod", npwg.AnnotationNetworks, `[{"name": "lan"}, {"name": "lan", "interface": "data2"}]`)
	t.Logf("the one with the default route less after %s", s.waitAttached("pod", "data2", "net1"))
	s.leavesBy("pod", "dev eth0")
}

// waitAttached waits until the pod has these interfaces and no others, in the API and in the kernel. It returns how long that took.
func (s *scene) waitAttached(name string, interfaces ...string) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.until(30*time.Second, fmt.Sprintf("pod %s to have the interfaces %v", name, interfaces), func(context.Context) error {
		found := s.attachments(name)
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, interfaces) {
			return fmt.Errorf("attachments %v", got)
		}
		for _, iface := range interfaces {
			if found[iface].Status.SandboxID == "" {
				return fmt.Errorf("%s is not attached", iface)
			}
		}
		return nil
	})
	took := time.Since(start)
	s.assertAttached(name)
	return took
}
