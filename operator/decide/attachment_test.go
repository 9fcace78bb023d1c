package decide

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

func assignments() []ipam.Assignment {
	return []ipam.Assignment{
		{Addr: netip.MustParseAddr("10.20.0.5"), Prefix: netip.MustParsePrefix("10.20.0.0/24"), Gateway: netip.MustParseAddr("10.20.0.1")},
		{Addr: netip.MustParseAddr("fd00:20::5"), Prefix: netip.MustParsePrefix("fd00:20::/64")},
	}
}

func TestAttachment(t *testing.T) {
	pod := podSelecting("storage", func(p *corev1.Pod) {
		p.Spec.NodeName = "node1"
	})
	mtu, priority := int32(9000), int32(5)
	n := network("storage", func(n *v1alpha1.Network) {
		n.Spec.MTU = &mtu
		n.Spec.Routes = []v1alpha1.Route{
			{To: "10.99.0.0/16"}, {To: "10.98.0.0/16", Via: "10.20.0.9"}, {To: "fd99::/48"},
		}
	})
	class := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: v1alpha1.QoSClassSpec{Priority: &priority}}
	got := Attachment(pod, Planned{
		Selection: selection.Selection{Network: "storage", Interface: "net1", PodClaimName: "multinet-storage-0"}, Network: n, QoS: class, Routes: n.Spec.Routes,
	}, assignments())
	want := &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: AttachmentName("db-0", "pod-uid", "net1"), Finalizers: []string{"multinet.dev/release"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "db-0", UID: "pod-uid"}},
		},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: "db-0", UID: "pod-uid"}, NetworkName: "storage", NodeName: "node1", Interface: "net1",
			PodClaimName: "multinet-storage-0", Request: "nic", Type: "Macvlan", Macvlan: n.Spec.Macvlan, MTU: &mtu,
			MAC:       MAC("storage", assignments(), "another", "net9").String(),
			Addresses: []v1alpha1.AttachmentAddress{{Address: "10.20.0.5/24", Gateway: "10.20.0.1"}, {Address: "fd00:20::5/64"}},
			Routes:    []v1alpha1.Route{{To: "10.99.0.0/16", Via: "10.20.0.1"}, {To: "10.98.0.0/16", Via: "10.20.0.9"}, {To: "fd99::/48"}},
			QoS:       &v1alpha1.ResolvedQoS{ClassName: "gold", QoSClassSpec: class.Spec},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n.Spec.Routes[0].Via != "" {
		t.Error("the Network was changed")
	}
}

// The gateways of default routes are those that the pod names, or those that its addresses have.
func TestAttachmentDefaultRoutes(t *testing.T) {
	for want, asked := range map[string][]netip.Addr{
		"": nil, "10.20.0.1": {}, "10.20.0.7 fe80::1": {netip.MustParseAddr("10.20.0.7"), netip.MustParseAddr("fe80::1")},
	} {
		got := Attachment(podSelecting("storage"), Planned{Selection: selection.Selection{Interface: "net1"}, Network: network("storage"), DefaultRoute: asked}, assignments())
		if text := strings.Join(got.Spec.DefaultRoutes, " "); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestAttachmentWithoutClaimAndAddresses(t *testing.T) {
	n := network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM = nil })
	got := Attachment(podSelecting("storage"), Planned{Selection: selection.Selection{Interface: "net1", PodClaimName: "multinet-storage-0"}, Network: n}, nil)
	if got.Spec.Addresses != nil || !strings.HasPrefix(got.Spec.MAC, "02:") {
		t.Errorf("%+v", got.Spec)
	}
}

func TestAttachmentNameIsValidAndDistinct(t *testing.T) {
	long := strings.Repeat("a", 199) + "." + strings.Repeat("b", 53)
	name := AttachmentName(long, "u", "net1")
	if len(name) > 253 || strings.Contains(name, ".-") {
		t.Errorf("name %q of %d characters", name, len(name))
	}
	if name == AttachmentName(long, "u", "net2") || name == AttachmentName(long, "v", "net1") || name != AttachmentName(long, "u", "net1") {
		t.Error("names do not tell interfaces and pods apart, or differ for the same")
	}
}

// The MAC of an address must never change: neighbours of running pods would keep the old one.
func TestMACIsFixed(t *testing.T) {
	if got := MAC("storage", assignments(), "u", "net1").String(); got != "02:58:6e:d0:0a:d3" {
		t.Errorf("MAC %s", got)
	}
	if MAC("storage", nil, "u", "net1").String() == MAC("storage", nil, "u", "net2").String() {
		t.Error("two interfaces of a pod share a MAC")
	}
}

func pna(name string, age int, edits ...func(*v1alpha1.PodNetworkAttachment)) *v1alpha1.PodNetworkAttachment {
	p := &v1alpha1.PodNetworkAttachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.Unix(int64(1000-age), 0)}}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func ready(p *v1alpha1.PodNetworkAttachment) {
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionReady, Status: metav1.ConditionTrue}}
}

func deleting(p *v1alpha1.PodNetworkAttachment) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func TestDuplicates(t *testing.T) {
	type list = []*v1alpha1.PodNetworkAttachment
	cases := map[string]struct {
		sharing list
		want    []string
	}{
		"alone":                         {sharing: list{pna("a", 1)}},
		"the younger goes":              {sharing: list{pna("young", 1), pna("old", 2)}, want: []string{"young"}},
		"never a ready one":             {sharing: list{pna("young", 1, ready), pna("old", 2)}, want: []string{"old"}},
		"two ready stay both":           {sharing: list{pna("a", 1, ready), pna("b", 2, ready)}},
		"two ready, one not":            {sharing: list{pna("a", 1, ready), pna("b", 2, ready), pna("c", 3)}, want: []string{"c"}},
		"one is going already":          {sharing: list{pna("a", 1), pna("b", 2, deleting)}},
		"a going ready one, two others": {sharing: list{pna("a", 1), pna("b", 2, deleting, ready), pna("c", 3)}, want: []string{"a"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, victim := range Duplicates(c.sharing) {
				got = append(got, victim.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Created within one second: every operator must choose the same.
func TestDuplicatesTieByUID(t *testing.T) {
	a, b := pna("a", 1), pna("b", 1)
	a.UID, b.UID = "1", "2"
	for _, sharing := range [][]*v1alpha1.PodNetworkAttachment{{a, b}, {b, a}} {
		if got := Duplicates(sharing); len(got) != 1 || got[0] != b {
			t.Errorf("got %v", got)
		}
	}
}

func TestNodeCannotRelease(t *testing.T) {
	off := &corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}}}
	unreachable := &corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeUnreachable}}}}
	if !NodeCannotRelease(nil) || !NodeCannotRelease(off) || NodeCannotRelease(unreachable) || NodeCannotRelease(&corev1.Node{}) {
		t.Error("wrong")
	}
}
