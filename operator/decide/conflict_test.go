package decide

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

const foreignMAC = "02:aa:00:00:00:01"

// contested is an attachment whose second address another machine has.
func contested(changes ...func(*v1alpha1.PodNetworkAttachment)) *v1alpha1.PodNetworkAttachment {
	pna := &v1alpha1.PodNetworkAttachment{
		Spec: v1alpha1.PodNetworkAttachmentSpec{Pod: v1alpha1.PodReference{Name: "db-0", UID: "pod-uid"},
			Addresses: []v1alpha1.AttachmentAddress{{Address: "10.20.0.5/24"}, {Address: "fd00:20::5/64"}}},
		Status: v1alpha1.PodNetworkAttachmentStatus{
			Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDuplicateAddress}},
			Conflicts:  []v1alpha1.AddressConflict{{Address: "fd00:20::5", MAC: foreignMAC}},
		},
	}
	for _, change := range changes {
		change(pna)
	}
	return pna
}

func TestConflicts(t *testing.T) {
	second := []ipam.Aside{{Addr: netip.MustParseAddr("fd00:20::5"), By: foreignMAC}}
	for name, c := range map[string]struct {
		change func(*v1alpha1.PodNetworkAttachment)
		want   []ipam.Aside
	}{
		"one of two":                     {func(*v1alpha1.PodNetworkAttachment) {}, second},
		"ready":                          {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conditions[0].Status = metav1.ConditionTrue }, nil},
		"another reason":                 {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conditions[0].Reason = v1alpha1.ReasonAttachFailed }, nil},
		"no condition":                   {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conditions = nil }, nil},
		"unknown":                        {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conditions[0].Status = metav1.ConditionUnknown }, nil},
		"going":                          {func(p *v1alpha1.PodNetworkAttachment) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, nil},
		"an agent that tells no address": {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conflicts = nil }, nil},
		"not its address":                {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conflicts[0].Address = "10.20.0.9" }, nil},
		"no address":                     {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conflicts[0].Address = "10.20.0.5/24" }, nil},
		"another spelling":               {func(p *v1alpha1.PodNetworkAttachment) { p.Status.Conflicts[0].Address = "FD00:20:0::5" }, second},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Conflicts(contested(c.change)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReplaceable(t *testing.T) {
	now := &metav1.Time{Time: time.Now()}
	living := func(change func(*corev1.Pod)) *corev1.Pod { return podSelecting("storage", change) }
	as := func(*corev1.Pod) {}
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		network *v1alpha1.Network
		want    bool
	}{
		"lives":             {living(as), network("storage"), true},
		"pod gone":          {nil, network("storage"), false},
		"pod's successor":   {living(func(p *corev1.Pod) { p.UID = "next" }), network("storage"), false},
		"pod goes":          {living(func(p *corev1.Pod) { p.DeletionTimestamp = now }), network("storage"), false},
		"pod ended":         {living(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), network("storage"), false},
		"network gone":      {living(as), nil, false},
		"network goes":      {living(as), network("storage", func(n *v1alpha1.Network) { n.DeletionTimestamp = now }), false},
		"network not valid": {living(as), network("storage", func(n *v1alpha1.Network) { n.Spec.Macvlan = nil }), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Replaceable(contested(), c.pod, c.network); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What is recorded in a status is what is read from it, and only then counts as recorded.
func TestAsideInStatus(t *testing.T) {
	aside := []ipam.Aside{
		{Addr: netip.MustParseAddr("10.20.0.5"), By: foreignMAC, Since: time.Unix(1000, 0)},
		{Addr: netip.MustParseAddr("fd00:20::5"), Since: time.Unix(2000, 0)},
	}
	n := network("storage")
	if Recorded(n, aside) {
		t.Error("recorded in an empty status")
	}
	n.Status = NetworkStatus(NetworkFacts{Network: n, Aside: aside})
	if !Recorded(n, aside) {
		t.Error("not recorded")
	}
	n.Status.SetAside = append(n.Status.SetAside, v1alpha1.SetAsideAddress{Address: "nonsense"})
	if diff := cmp.Diff(aside, Aside(n), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if n.Status = NetworkStatus(NetworkFacts{Network: n}); len(n.Status.SetAside) != 0 {
		t.Errorf("what is over stays: %v", n.Status.SetAside)
	}
}
