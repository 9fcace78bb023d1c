//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// bandwidthClass guarantees egress or ingress bandwidth, "" for none. It is deleted after the test.
func (s *scene) bandwidthClass(name, egress, ingress string) *v1alpha1.QoSClass {
	s.t.Helper()
	class := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for rate, direction := range map[*string]**v1alpha1.Bandwidth{&egress: &class.Spec.Egress, &ingress: &class.Spec.Ingress} {
		if *rate != "" {
			*direction = &v1alpha1.Bandwidth{Guaranteed: ptr.To(resource.MustParse(*rate))}
		}
	}
	s.must(client.IgnoreNotFound(s.Delete(s.ctx, class.DeepCopy())))
	s.must(s.Create(s.ctx, class))
	s.t.Cleanup(func() {
		if err := s.Delete(s.ctx, class); client.IgnoreNotFound(err) != nil {
			s.t.Errorf("deleting QoSClass %s: %v", name, err)
		}
	})
	return class
}

// TestThirdPodOnAFullNIC: of three that want 4G of the 10G that eth2 has, one stays Pending and starts when another goes.
// The stock scheduler decides. No other test takes bandwidth of eth2.
func TestThirdPodOnAFullNIC(t *testing.T) {
	for name, rates := range map[string][2]string{"egress": {"4G", ""}, "ingress": {"", "4G"}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nodeC)
			spec := networkSpec("eth2")
			spec.QoSClassName = s.bandwidthClass("e2e-4g-"+name, rates[0], rates[1]).Name
			s.network("full-"+name, spec)
			s.create("first", nodeC, "full-"+name)
			s.create("second", nodeC, "full-"+name)
			s.waitReady(time.Minute, "first", "second")
			s.create("third", nodeC, "full-"+name)
			s.waitCondition("third", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonInsufficientBandwidth)
			s.until(time.Minute, "the Network to tell what is guaranteed", func(ctx context.Context) error {
				var n v1alpha1.Network
				if err := s.Get(ctx, client.ObjectKey{Name: "full-" + name}, &n); err != nil {
					return err
				}
				if !strings.Contains(n.Status.BandwidthSummary, "8G/") || len(n.Status.Fullest) == 0 || n.Status.Fullest[0].Node != nodeC {
					return fmt.Errorf("it tells %q, %+v", n.Status.BandwidthSummary, n.Status.Fullest)
				}
				return nil
			})
			pod, err := s.get(s.ctx, "third")
			s.must(err)
			if pod.Spec.NodeName != "" {
				t.Fatalf("the third pod is on %s", pod.Spec.NodeName)
			}
			s.must(s.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "first"}}))
			s.waitReady(time.Minute, "third")
		})
	}
}

// TestOverlayTakesTheBandwidthOfItsNIC has the device of the node's own interface give it, which is no uplink here.
func TestOverlayTakesTheBandwidthOfItsNIC(t *testing.T) {
	s := newScene(t, nodeD)
	class := s.bandwidthClass("e2e-overlay", "4G", "")
	spec := networkSpec("eth1")
	spec.Type, spec.Macvlan, spec.QoSClassName = v1alpha1.NetworkTypeRackLocal, nil, class.Name
	spec.RackLocal = &v1alpha1.RackLocalSpec{Overlay: &v1alpha1.RackOverlaySpec{}, PrefixLength: &v1alpha1.RackPrefixLength{IPv4: ptr.To[int32](28), IPv6: ptr.To[int32](112)}}
	s.network("full-overlay", spec)
	s.create("first", nodeD, "full-overlay")
	s.create("second", nodeD, "full-overlay")
	s.waitReady(time.Minute, "first", "second")
	s.create("third", nodeD, "full-overlay")
	s.waitCondition("third", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonInsufficientBandwidth)
	s.must(s.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "second"}}))
	s.waitReady(time.Minute, "third")
}

// TestUplinkForOnePodAlone: in mode Passthru a pod waits until nobody else uses the uplink, and others wait for it. The stock scheduler
// decides. No other test uses eth2 of this node meanwhile.
func TestUplinkForOnePodAlone(t *testing.T) {
	s := newScene(t, nodeC)
	alone := networkSpec("eth2")
	alone.Macvlan.Mode = v1alpha1.MacvlanModePassthru
	s.network("alone", alone)
	s.network("shared", networkSpec("eth2"))
	waits := func(pod string) {
		t.Helper()
		s.waitCondition(pod, corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)
	}
	s.create("first", nodeC, "shared")
	s.waitReady(time.Minute, "first")
	s.create("owner", nodeC, "alone")
	waits("owner")
	s.must(s.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "first"}}))
	s.waitReady(time.Minute, "owner")
	s.create("second", nodeC, "shared")
	waits("second")
	s.must(s.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "owner"}}))
	s.waitReady(time.Minute, "second")
}
