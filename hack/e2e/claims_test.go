//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestAddressClaim: the pod of a claim's name gets the addresses and the MAC that it names, another pod never does.
func TestAddressClaim(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	spec := networkSpec("eth1")
	s.network("fixed", spec)
	v4 := nth(spec.IPAM.Ranges[0].CIDR, 1)
	v6 := nth(spec.IPAM.Ranges[1].CIDR, 0x99)
	s.must(s.Create(s.ctx, &v1alpha1.AddressClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "printer"},
		Spec:       v1alpha1.AddressClaimSpec{NetworkName: "fixed", PodName: "printer", Addresses: []string{v4, v6}, MAC: "02:00:5e:10:00:09"},
	}))
	s.waitReserved("printer")
	// The claim has the range's first address, which any other pod would get.
	s.create("other", nodeB, "fixed")
	s.create("printer", nodeA, "fixed")
	s.waitReady(time.Minute, "printer", "other")
	if got := s.addressesOf("printer"); got[0].String() != v4 || got[1].String() != v6 {
		t.Errorf("the pod of the claim has %v", got)
	}
	if got := s.attachments("printer")["net1"].Status.MAC; got != "02:00:5e:10:00:09" {
		t.Errorf("the pod of the claim has MAC %s", got)
	}
	if got := s.addressesOf("other"); got[0].String() == v4 || got[1].String() == v6 {
		t.Errorf("another pod has %v", got)
	}
	s.reaches("other", "printer")
}

// nth is an address of a prefix by number.
func nth(cidr string, n byte) string {
	bytes := netip.MustParsePrefix(cidr).Addr().AsSlice()
	bytes[len(bytes)-1] = n
	address, _ := netip.AddrFromSlice(bytes)
	return address.String()
}

func (s *scene) waitReserved(name string) {
	s.t.Helper()
	s.until(time.Minute, "AddressClaim "+name+" to be Reserved", func(ctx context.Context) error {
		var claim v1alpha1.AddressClaim
		if err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &claim); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(claim.Status.Conditions, v1alpha1.AddressClaimConditionReserved) {
			return fmt.Errorf("its conditions are %v", claim.Status.Conditions)
		}
		return nil
	})
}

// TestStickyAddresses: a pod of a StatefulSet has the same addresses and MAC on another node, and keeps them over a scale to
// zero.
func TestStickyAddresses(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	spec := networkSpec("eth1")
	spec.IPAM.Sticky = v1alpha1.StickyPodName
	spec.IPAM.Quarantine = &metav1.Duration{}
	s.network("sticky", spec)
	set := s.statefulSet("db", nodeA, "sticky")
	s.waitReady(time.Minute, "db-0")
	first := s.attachments("db-0")["net1"]

	s.must(s.patchSet(set, func(spec *appsv1.StatefulSetSpec) {
		spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: nodeB}
	}))
	s.waitMoved("db-0", nodeB)
	s.sameAddresses(first, "db-0")

	s.must(s.patchSet(set, func(spec *appsv1.StatefulSetSpec) { spec.Replicas = ptr.To[int32](0) }))
	s.waitGone(30*time.Second, "db-0")
	s.create("stranger", nodeA, "sticky")
	s.waitReady(time.Minute, "stranger")
	if slices.Equal(s.attachments("stranger")["net1"].Spec.Addresses, first.Spec.Addresses) {
		t.Errorf("another pod got the addresses that wait for db-0: %v", first.Spec.Addresses)
	}
	s.must(s.patchSet(set, func(spec *appsv1.StatefulSetSpec) { spec.Replicas = ptr.To[int32](1) }))
	s.waitMoved("db-0", nodeB)
	s.sameAddresses(first, "db-0")
	s.waitStickyClaims(2)
}

func (s *scene) statefulSet(name, node, selection string) *appsv1.StatefulSet {
	s.t.Helper()
	return s.statefulSetOf(name, s.pod(name, node, selection))
}

// statefulSetOf makes a StatefulSet of one pod.
func (s *scene) statefulSetOf(name string, pod *corev1.Pod) *appsv1.StatefulSet {
	s.t.Helper()
	labels := map[string]string{"app": name}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](1), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	}
	s.must(s.Create(s.ctx, set))
	s.t.Cleanup(func() { // else it would make its pods anew
		if err := s.Delete(s.ctx, set); err != nil {
			s.t.Errorf("deleting StatefulSet %s: %v", name, err)
		}
	})
	return set
}

func (s *scene) patchSet(set *appsv1.StatefulSet, change func(*appsv1.StatefulSetSpec)) error {
	patch := client.MergeFrom(set.DeepCopy())
	change(&set.Spec)
	return s.Patch(s.ctx, set, patch)
}

// waitMoved waits until the pod of the name is on the node and Ready.
func (s *scene) waitMoved(name, node string) {
	s.t.Helper()
	s.until(time.Minute, "pod "+name+" to be on "+node, func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err != nil {
			return err
		}
		if pod.Spec.NodeName != node || pod.DeletionTimestamp != nil {
			return fmt.Errorf("it is on %q, deleted at %v", pod.Spec.NodeName, pod.DeletionTimestamp)
		}
		return nil
	})
	s.waitReady(time.Minute, name)
}

func (s *scene) sameAddresses(before v1alpha1.PodNetworkAttachment, name string) {
	s.t.Helper()
	now := s.attachments(name)["net1"]
	if now.UID == before.UID || now.Spec.MAC != before.Spec.MAC || !slices.Equal(now.Spec.Addresses, before.Spec.Addresses) {
		s.t.Errorf("pod %s had %v with MAC %s, and has %v with MAC %s", name, before.Spec.Addresses, before.Spec.MAC, now.Spec.Addresses, now.Spec.MAC)
	}
}

func (s *scene) waitStickyClaims(n int) {
	s.t.Helper()
	s.until(time.Minute, fmt.Sprintf("%d sticky AddressClaims", n), func(ctx context.Context) error {
		var claims v1alpha1.AddressClaimList
		if err := s.List(ctx, &claims, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelSticky: "true"}); err != nil {
			return err
		}
		if len(claims.Items) != n {
			return fmt.Errorf("there are %d", len(claims.Items))
		}
		return nil
	})
}
