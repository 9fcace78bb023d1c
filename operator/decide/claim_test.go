package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// claimNamed is one for pod db-0 on Network storage.
func claimNamed(name string, edits ...func(*v1alpha1.AddressClaim)) *v1alpha1.AddressClaim {
	c := &v1alpha1.AddressClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: v1alpha1.AddressClaimSpec{NetworkName: "storage", PodName: "db-0", Addresses: []string{"10.20.0.9"}}}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func onInterface(name string) func(*v1alpha1.AddressClaim) {
	return func(c *v1alpha1.AddressClaim) { c.Spec.Interface = v1alpha1.InterfaceName(name) }
}

func naming(addresses ...string) func(*v1alpha1.AddressClaim) {
	return func(c *v1alpha1.AddressClaim) { c.Spec.Addresses = addresses }
}

func kept(c *v1alpha1.AddressClaim) { c.Labels = map[string]string{v1alpha1.LabelSticky: "true"} }

func TestPlanFindsClaims(t *testing.T) {
	for name, c := range map[string]struct {
		selection string
		claims    []*v1alpha1.AddressClaim
		// want is interface=claim for each planned attachment that has one.
		want    []string
		refusal []string
	}{
		"none":                       {selection: "storage"},
		"the first interface":        {"storage,storage@second", []*v1alpha1.AddressClaim{claimNamed("a")}, []string{"net1=a"}, nil},
		"the first of that Network":  {"other,storage@data", []*v1alpha1.AddressClaim{claimNamed("a")}, []string{"data=a"}, nil},
		"an interface by name":       {"storage,storage@second", []*v1alpha1.AddressClaim{claimNamed("a", onInterface("second"))}, []string{"second=a"}, nil},
		"each its own":               {"storage,storage@second", []*v1alpha1.AddressClaim{claimNamed("a"), claimNamed("b", onInterface("second"))}, []string{"net1=a", "second=b"}, nil},
		"an interface it lacks":      {"storage", []*v1alpha1.AddressClaim{claimNamed("a", onInterface("second"))}, nil, nil},
		"another pod":                {"storage", []*v1alpha1.AddressClaim{claimNamed("a", func(c *v1alpha1.AddressClaim) { c.Spec.PodName = "db-1" })}, nil, nil},
		"another namespace":          {"storage", []*v1alpha1.AddressClaim{claimNamed("a", func(c *v1alpha1.AddressClaim) { c.Namespace = "yard" })}, nil, nil},
		"another Network":            {"storage", []*v1alpha1.AddressClaim{claimNamed("a", func(c *v1alpha1.AddressClaim) { c.Spec.NetworkName = "other" })}, nil, nil},
		"two for one interface":      {"storage", []*v1alpha1.AddressClaim{claimNamed("b"), claimNamed("a", onInterface("net1"))}, nil, []string{`"a" and "b"`, "net1", "delete one"}},
		"a user's before the kept":   {"storage", []*v1alpha1.AddressClaim{claimNamed("k", kept, onInterface("net1")), claimNamed("a")}, []string{"net1=a"}, nil},
		"the kept":                   {"storage", []*v1alpha1.AddressClaim{claimNamed("k", kept, onInterface("net1"))}, []string{"net1=k"}, nil},
		"outside of the ranges":      {"storage", []*v1alpha1.AddressClaim{claimNamed("a", naming("10.21.0.9"))}, nil, []string{`"a"`, "10.21.0.9", "10.20.0.0/24"}},
		"the kept is made anew then": {"storage", []*v1alpha1.AddressClaim{claimNamed("k", kept, naming("10.21.0.9"))}, []string{"net1=k outdated"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := PodSnapshot{Pod: podSelecting(c.selection), Claims: c.claims,
				Networks: map[string]*v1alpha1.Network{"storage": network("storage"), "other": network("other")}}
			planned, refusal := Plan(s)
			if (refusal == nil) != (c.refusal == nil) || refusal != nil && refusal.Reason != v1alpha1.ReasonAddressClaim {
				t.Fatalf("refusal %+v", refusal)
			}
			for _, part := range c.refusal {
				if !strings.Contains(refusal.Message, part) {
					t.Errorf("%q does not say %q", refusal.Message, part)
				}
			}
			var got []string
			for _, p := range planned {
				if p.Claim == nil {
					continue
				}
				text := p.Selection.Interface + "=" + p.Claim.Name
				if p.Outdated != "" {
					text += " outdated"
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckClaim(t *testing.T) {
	gone := metav1.Now()
	plain := func(*v1alpha1.Network) {}
	for name, c := range map[string]struct {
		claim   *v1alpha1.AddressClaim
		network *v1alpha1.Network
		// want is the reason, "" where nothing is wrong.
		want         string
		holds, known bool
	}{
		"both families":      {claimNamed("a", naming("10.20.0.9", "fd00:20::9")), network("storage", plain), "", true, true},
		"not to give out":    {claimNamed("a"), network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.20.0.100" }), "", true, true},
		"excluded":           {claimNamed("a"), network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Exclude = []string{"10.20.0.0/28"} }), "", true, true},
		"a MAC alone":        {claimNamed("a", naming()), network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM = nil }), "", true, true},
		"no ranges":          {claimNamed("a"), network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM = nil }), v1alpha1.ReasonOutsideRanges, false, true},
		"one of two outside": {claimNamed("a", naming("10.20.0.9", "fd00:21::9")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"gateway":            {claimNamed("a", naming("10.20.0.1")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"network address":    {claimNamed("a", naming("10.20.0.0")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"broadcast address":  {claimNamed("a", naming("10.20.0.255")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"anycast address":    {claimNamed("a", naming("fd00:20::")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"IPv4 in IPv6":       {claimNamed("a", naming("::ffff:10.20.0.9")), network("storage"), v1alpha1.ReasonOutsideRanges, false, true},
		"no Network":         {claimNamed("a"), nil, v1alpha1.ReasonUnknownNetwork, false, true},
		"going":              {claimNamed("a"), network("storage", func(n *v1alpha1.Network) { n.DeletionTimestamp = &gone }), v1alpha1.ReasonNetworkDeleting, false, false},
		"broken":             {claimNamed("a"), network("storage", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.9.0.0" }), v1alpha1.ReasonNetworkNotAccepted, false, false},
		"not admitted": {claimNamed("a"), network("storage", func(n *v1alpha1.Network) {
			n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "db"}}
		}), v1alpha1.ReasonNotAdmitted, false, true},
		"in a rack":    {claimNamed("a", naming("10.40.0.5")), racked("10.40.0.0/26"), "", true, true},
		"in no rack":   {claimNamed("a", naming("10.40.0.70")), racked("10.40.0.0/26"), v1alpha1.ReasonOutsideRanges, false, true},
		"rack's first": {claimNamed("a", naming("10.40.0.0")), racked("10.40.0.0/26"), v1alpha1.ReasonOutsideRanges, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			problem := CheckClaim(c.claim, c.network, nil)
			if problem == nil && c.want != "" || problem != nil && problem.Reason != c.want {
				t.Errorf("problem %+v", problem)
			}
			if holds, known := Holds(problem); holds != c.holds || known != c.known {
				t.Errorf("holds %v, known %v", holds, known)
			}
		})
	}
}

// racked is a rack-local Network whose rack r1 has the prefix.
func racked(prefix string) *v1alpha1.Network {
	return rackNetwork("storage", func(n *v1alpha1.Network) {
		n.Status.Racks = []v1alpha1.RackStatus{{Name: "r1", Prefixes: []string{prefix}}}
	})
}

func TestCheckClaimRack(t *testing.T) {
	pod := podSelecting("storage", func(p *corev1.Pod) { p.Spec.NodeName = "node2" })
	p := Planned{Network: racked("10.40.0.0/26"), Claim: claimNamed("a", naming("10.40.0.5")), Rack: &v1alpha1.AttachmentRack{Rack: "r1"}}
	if refusal := CheckClaimRack(pod, p); refusal != nil {
		t.Errorf("at home: %+v", refusal)
	}
	p.Rack.Rack = "r2"
	refusal := CheckClaimRack(pod, p)
	if refusal == nil || refusal.Reason != v1alpha1.ReasonAddressClaim {
		t.Fatalf("away: %+v", refusal)
	}
	for _, part := range []string{`"r1"`, `"r2"`, `"node2"`, `"a"`, "10.40.0.5"} {
		if !strings.Contains(refusal.Message, part) {
			t.Errorf("%q does not say %s", refusal.Message, part)
		}
	}
	p.Claim = claimNamed("a", naming())
	if refusal := CheckClaimRack(pod, p); refusal != nil {
		t.Errorf("a MAC is of no rack: %+v", refusal)
	}
}

func TestStickyClaim(t *testing.T) {
	pod := podSelecting("storage")
	p := Planned{Selection: selection.Selection{Network: "storage", Interface: "net1"}, Network: network("storage")}
	claim := StickyClaim(pod, p, assignments())
	if !IsSticky(claim) || claim.Spec.PodName != "db-0" || claim.Spec.Interface != "net1" || claim.OwnerReferences[0].UID != "network-uid" ||
		!slices.Equal(claim.Spec.Addresses, []string{"10.20.0.5", "fd00:20::5"}) {
		t.Errorf("claim %+v", claim)
	}
	// With the claim or without, the first pod of the name gets what the next one gets.
	first := Attachment(pod, p, assignments())
	p.Claim = claim
	if diff := cmp.Diff(first, Attachment(pod, p, assignments())); diff != "" {
		t.Error(diff)
	}
	p.Claim.Spec.MAC = "06:00:00:00:00:01"
	if got := Attachment(pod, p, assignments()).Spec.MAC; got != "06:00:00:00:00:01" {
		t.Errorf("MAC %s", got)
	}
}

func TestStickyClaimNamesDiffer(t *testing.T) {
	long := strings.Repeat("a", 252)
	names := map[string]bool{}
	for _, parts := range [][3]string{{"a", "n", "net1"}, {"a", "n", "net2"}, {"a", "m", "net1"}, {"b", "n", "net1"}, {long + "1", "n", "net1"}, {long + "2", "n", "net1"}} {
		name := StickyClaimName(parts[0], parts[1], parts[2])
		if names[name] || len(name) > 253 {
			t.Errorf("name %q", name)
		}
		names[name] = true
	}
}

func TestClaimStatus(t *testing.T) {
	now := metav1.Unix(100_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	hour := func(n *v1alpha1.Network) {
		n.Spec.IPAM.Sticky, n.Spec.IPAM.Retention = v1alpha1.StickyPodName, &metav1.Duration{Duration: time.Hour}
	}
	brief := func(n *v1alpha1.Network) {
		n.Spec.IPAM.Sticky, n.Spec.IPAM.Retention = v1alpha1.StickyPodName, &metav1.Duration{Duration: 10 * time.Second}
	}
	recorded := func(since time.Duration) func(*v1alpha1.AddressClaim) {
		return func(c *v1alpha1.AddressClaim) { c.Status.UnusedSince = &metav1.Time{Time: ago(since)} }
	}
	for name, c := range map[string]struct {
		claim   *v1alpha1.AddressClaim
		network *v1alpha1.Network
		unused  time.Duration // since then, 0 for in use
		expired bool
		// since is the age of what is recorded, -1 for nothing.
		since, next time.Duration
	}{
		"in use":                        {claimNamed("k", kept), network("storage", hour), 0, false, -1, 0},
		"in use again":                  {claimNamed("k", kept, recorded(time.Minute)), network("storage", hour), 0, false, -1, 0},
		"away for a moment":             {claimNamed("k", kept), network("storage", hour), 59 * time.Second, false, -1, time.Second},
		"away":                          {claimNamed("k", kept), network("storage", hour), time.Minute, false, time.Minute, time.Millisecond},
		"away for a brief retention":    {claimNamed("k", kept), network("storage", brief), time.Second, false, time.Second, time.Millisecond},
		"recorded":                      {claimNamed("k", kept, recorded(20*time.Minute)), network("storage", hour), 20 * time.Minute, false, 20 * time.Minute, 40 * time.Minute},
		"its time is over":              {claimNamed("k", kept, recorded(time.Hour)), network("storage", hour), time.Hour, true, time.Hour, time.Millisecond},
		"its time is over, but in use":  {claimNamed("k", kept, recorded(time.Hour)), network("storage", hour), 0, false, -1, 0},
		"a user's is never over":        {claimNamed("a", recorded(time.Hour)), network("storage", hour), time.Hour, false, time.Hour, 0},
		"the Network is not sticky now": {claimNamed("k", kept, recorded(time.Second)), network("storage"), time.Second, true, time.Second, time.Millisecond},
		"the Network is gone":           {claimNamed("k", kept, recorded(time.Second)), nil, time.Second, true, time.Second, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f := ClaimFacts{Claim: c.claim, Network: c.network, Now: now}
			if c.unused > 0 {
				f.UnusedSince = ago(c.unused)
			}
			if f.Expired() != c.expired || f.Next() != c.next {
				t.Errorf("expired %v, next %s", f.Expired(), f.Next())
			}
			status := ClaimStatus(f)
			if c.since < 0 && status.UnusedSince != nil || c.since >= 0 && (status.UnusedSince == nil || !status.UnusedSince.Time.Equal(ago(c.since))) {
				t.Errorf("unused since %v", status.UnusedSince)
			}
		})
	}
}

func TestClaimConditions(t *testing.T) {
	problem := &Refusal{v1alpha1.ReasonOutsideRanges, "one\ntwo"}
	inTheWay := &Refusal{v1alpha1.ReasonMACInUse, "somebody has it"}
	for name, c := range map[string]struct {
		facts   ClaimFacts
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		"reserved":                 {ClaimFacts{}, metav1.ConditionTrue, v1alpha1.ReasonReserved, "db-0"},
		"somebody is in the way":   {ClaimFacts{InTheWay: inTheWay}, metav1.ConditionFalse, v1alpha1.ReasonMACInUse, "somebody has it"},
		"the Network comes before": {ClaimFacts{Problem: problem, InTheWay: inTheWay}, metav1.ConditionFalse, v1alpha1.ReasonOutsideRanges, "one; two"},
	} {
		t.Run(name, func(t *testing.T) {
			c.facts.Claim, c.facts.Now = claimNamed("a"), metav1.Unix(1000, 0)
			status := ClaimStatus(c.facts)
			if got := status.Conditions[0]; got.Status != c.status || got.Reason != c.reason || !strings.Contains(got.Message, c.message) {
				t.Errorf("condition %+v", got)
			}
			// Nothing changes when it is looked at again.
			c.facts.Claim.Status, c.facts.Now = status, metav1.Unix(2000, 0)
			if diff := cmp.Diff(status, ClaimStatus(c.facts)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
