package decide

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func costing(cost int32) func(*v1alpha1.Network) {
	return func(n *v1alpha1.Network) { n.Spec.Cost = &cost }
}

func defaulting(class string) func(*v1alpha1.Network) {
	return func(n *v1alpha1.Network) { n.Spec.QoSClassName = class }
}

func onlyFor(team string) func(*v1alpha1.Network) {
	return func(n *v1alpha1.Network) {
		n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	}
}

func exhausted(n *v1alpha1.Network) {
	n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.NetworkConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRangeExhausted}}
}

func leaving(n *v1alpha1.Network) {
	now := metav1.Now()
	n.DeletionTimestamp = &now
}

func networksOf(all ...*v1alpha1.Network) map[string]*v1alpha1.Network {
	byName := map[string]*v1alpha1.Network{}
	for _, n := range all {
		byName[n.Name] = n
	}
	return byName
}

func costs(class *v1alpha1.QoSClass, cost int32) *v1alpha1.QoSClass {
	class.Spec.Cost = cost
	return class
}

func TestOffers(t *testing.T) {
	gone := metav1.Now()
	classes := map[string]*v1alpha1.QoSClass{
		"bulk": costs(qosClass("bulk", "", ""), 5), "gold": costs(qosClass("gold", "", ""), 100), "rare": qosClass("rare", "", ""),
		"ending": {ObjectMeta: metav1.ObjectMeta{Name: "ending", DeletionTimestamp: &gone}},
	}
	var many []*v1alpha1.Network
	for i := range 10 {
		many = append(many, network(fmt.Sprintf("n%d", i), allowing("bulk"), costing(int32(20-i))))
	}
	for name, test := range map[string]struct {
		class    string
		networks []*v1alpha1.Network
		// want are Networks, or the refusal's reason.
		want []string
		says []string
	}{
		"by the Network's cost":      {"bulk", []*v1alpha1.Network{network("b", allowing("bulk"), costing(3)), network("a", allowing("bulk"), costing(4)), network("c", allowing("bulk"), costing(2))}, []string{"c", "b", "a"}, nil},
		"by its default class's":     {"bulk", []*v1alpha1.Network{network("a", defaulting("gold"), allowing("bulk")), network("b", defaulting("bulk")), network("c", allowing("bulk"))}, []string{"c", "b", "a"}, nil},
		"its own before its class's": {"bulk", []*v1alpha1.Network{network("a", defaulting("gold"), allowing("bulk"), costing(0)), network("b", defaulting("bulk"))}, []string{"a", "b"}, nil},
		"by name among equals":       {"bulk", []*v1alpha1.Network{network("c", allowing("bulk")), network("a", allowing("*")), network("b", defaulting("absent"), allowing("bulk"))}, []string{"a", "b", "c"}, nil},
		"only those that have it":    {"gold", []*v1alpha1.Network{network("a", allowing("bulk")), network("b", defaulting("gold")), network("c")}, []string{"b"}, nil},
		"only those that the pod may be on": {"bulk", []*v1alpha1.Network{network("a", allowing("bulk"), onlyFor("web")), network("b", allowing("bulk"), onlyFor("db")),
			network("c", allowing("bulk"), leaving), network("d", allowing("bulk"), exhausted), network("e", allowing("bulk"), func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.99.0.0" })}, []string{"b"}, nil},
		"no more than a claim can list": {"bulk", many, []string{"n9", "n8", "n7", "n6", "n5", "n4", "n3", "n2"}, nil},
		"nobody":                        {"rare", []*v1alpha1.Network{network("a", allowing("bulk"))}, []string{v1alpha1.ReasonClassNotOffered}, []string{`no Network that the pod may be on has QoSClass "rare"; name it in`}},
		"none that cannot enforce it":   {"bulk", []*v1alpha1.Network{network("a", allowing("bulk"), alone), network("b", allowing("bulk"))}, []string{"b"}, nil},
		"nobody who can": {"bulk", []*v1alpha1.Network{network("a", allowing("bulk"), alone)}, []string{v1alpha1.ReasonClassNotOffered},
			[]string{`Network "a" is in mode Passthru, where no class can be enforced`}},
		"nobody who may": {"bulk", []*v1alpha1.Network{network("a", allowing("bulk"), onlyFor("web")), network("b", allowing("bulk"), exhausted)}, []string{v1alpha1.ReasonClassNotOffered},
			[]string{`Network "a" does not admit namespace "shop"`, `Network "b" has no address left`}},
		"no class":      {"absent", []*v1alpha1.Network{network("a", allowing("*"))}, []string{v1alpha1.ReasonUnknownQoSClass}, []string{`QoSClass "absent" does not exist`}},
		"class leaving": {"ending", []*v1alpha1.Network{network("a", allowing("*"))}, []string{v1alpha1.ReasonQoSClassDeleting}, []string{`QoSClass "ending" is being deleted`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := PodSnapshot{Pod: podSelecting(""), NamespaceLabels: map[string]string{"team": "db"}, Networks: networksOf(test.networks...), QoSClasses: classes}
			offers, refusal := s.Offers(test.class)
			var got []string
			for _, o := range offers {
				if got = append(got, o.Name); o.Network.Name != o.Name {
					t.Errorf("offer %s is Network %s", o.Name, o.Network.Name)
				}
			}
			if refusal != nil {
				got = append(got, refusal.Reason)
				refusal.mustSay(t, test.says)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// madeFor is the claim of the pod's class with its offers, on node1 when it is allocated for one of them.
func madeFor(class *v1alpha1.QoSClass, chosen string, networks ...*v1alpha1.Network) DeviceClaim {
	var offers []Offer
	for _, n := range networks {
		offers = append(offers, Offer{n.Name, n})
	}
	claim := DeviceClaim{Object: `ResourceClaim "c"`, Spec: &resourcev1.ResourceClaimSpec{Devices: choiceDevices(offers, class)}}
	claim.Status = allocated("nic/"+chosen, "bandwidth")
	return claim
}

// TestPlanByClass: the pod selects the class bulk, which cheap and fast have, and beside it what is given.
func TestPlanByClass(t *testing.T) {
	bulk := qosClass("bulk", "1G", "")
	cheap, fast := network("cheap", allowing("bulk"), costing(1)), network("fast", defaulting("bulk"), costing(9), routing("10.99.0.0/16"))
	networks := networksOf(cheap, fast, network("plain"), network("routed", routing("10.99.0.0/16")))
	bound := func(p *corev1.Pod) { p.Spec.NodeName = "node1" }
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		chosen   string
		attached map[string]string
		edit     func(*PodSnapshot)
		// want is interface=network/class of offers for each planned attachment, or the refusal's reason.
		want []string
		says string
	}{
		"not yet scheduled":      {pod: podSelecting("class=bulk@data"), want: []string{"data=cheap/bulk of cheap, fast"}},
		"chosen":                 {pod: podSelecting("class=bulk", bound), chosen: "fast", want: []string{"net1=fast/bulk of cheap, fast"}},
		"twice, beside networks": {pod: podSelecting("plain,class=bulk,class=bulk@x,cheap:bulk"), want: []string{"net1=plain/ of ", "net2=cheap/bulk of cheap, fast", "x=cheap/bulk of cheap, fast", "net4=cheap/bulk of "}},
		"attached":               {pod: podSelecting("class=bulk", bound), attached: map[string]string{"net1": "fast"}, want: []string{"net1=fast/bulk of "}},
		"offered no longer": {pod: podSelecting("class=bulk", bound), chosen: "fast", edit: func(s *PodSnapshot) { s.Networks = networksOf(cheap, network("fast")) },
			want: []string{v1alpha1.ReasonQoSClassNotAllowed}},
		"a cheaper one that is gone": {pod: podSelecting("class=bulk", bound), chosen: "fast", edit: func(s *PodSnapshot) { s.Networks = networksOf(fast) },
			want: []string{"net1=fast/bulk of cheap, fast"}},
		"without a claim": {pod: podSelecting("class=bulk", bound), want: []string{v1alpha1.ReasonResourceClaimNotReady}, says: `which "class=bulk" selects`},
		"claim of another pod": {pod: podSelecting("class=bulk", bound), chosen: "fast", edit: func(s *PodSnapshot) { s.DeviceClaims["multinet--bulk-0"].Status.ReservedFor[0].UID = "other" },
			want: []string{v1alpha1.ReasonResourceClaimNotReady}},
		"annotation added later": {pod: podSelecting("class=bulk", func(p *corev1.Pod) { p.Spec.ResourceClaims = nil }), want: []string{v1alpha1.ReasonUnsupportedPod},
			says: `without a claim for network of class "bulk" interface net1`},
		"nobody has the class":           {pod: podSelecting("class=bulk"), edit: func(s *PodSnapshot) { s.Networks = networksOf(network("plain")) }, want: []string{v1alpha1.ReasonClassNotOffered}},
		"a route of an offer":            {pod: podSelecting("class=bulk,routed"), want: []string{v1alpha1.ReasonRouteConflict}, says: `"fast" and "routed" both have a route to 10.99.0.0/16`},
		"a route of what was not chosen": {pod: podSelecting("class=bulk,routed", bound), chosen: "cheap", want: []string{"net1=cheap/bulk of cheap, fast", "net2=routed/ of "}},
	} {
		t.Run(name, func(t *testing.T) {
			s := PodSnapshot{Pod: test.pod, Networks: networks, QoSClasses: map[string]*v1alpha1.QoSClass{"bulk": bulk}, Attached: onNetworks(test.attached), DeviceClaims: map[string]DeviceClaim{}}
			if test.chosen != "" {
				s.DeviceClaims["multinet--bulk-0"] = madeFor(bulk, test.chosen, cheap, fast)
			}
			for _, pna := range s.Attached {
				pna.Spec.Choice, pna.Spec.QoS = &v1alpha1.NetworkChoice{}, &v1alpha1.ResolvedQoS{ClassName: "bulk"}
			}
			if test.edit != nil {
				test.edit(&s)
			}
			planned, refusal := Plan(s)
			var got []string
			for _, p := range planned {
				class := ""
				if p.QoS != nil {
					class = p.QoS.Name
				}
				got = append(got, p.Selection.Interface+"="+p.Network.Name+"/"+class+" of "+strings.Join(namesOf(p.Offers), ", "))
			}
			if refusal != nil {
				if got = append(got, refusal.Reason); !strings.Contains(refusal.Message, test.says) {
					t.Errorf("message %q does not say %q", refusal.Message, test.says)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%+v", diff, refusal)
			}
		})
	}
}

func namesOf(offers []Offer) (names []string) {
	for _, o := range offers {
		names = append(names, o.Name)
	}
	return names
}

// TestRoutesOfAChosenNetwork: they are those of the Network that the pod got.
func TestRoutesOfAChosenNetwork(t *testing.T) {
	bulk, cheap, fast := qosClass("bulk", "", ""), network("cheap", allowing("bulk"), routing("10.99.0.0/16")), network("fast", allowing("bulk"), routing("10.99.0.0/16"))
	s := PodSnapshot{Pod: podSelecting("class=bulk", func(p *corev1.Pod) { p.Spec.NodeName = "node1" }), Networks: networksOf(cheap, fast),
		QoSClasses: map[string]*v1alpha1.QoSClass{"bulk": bulk}, DeviceClaims: map[string]DeviceClaim{"multinet--bulk-0": madeFor(bulk, "fast", cheap, fast)}}
	planned, refusal := Plan(s)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if diff := cmp.Diff(fast.Spec.Routes, planned[0].Routes); diff != "" || planned[0].Network.Name != "fast" {
		t.Error(planned[0].Network.Name, diff)
	}
}

// TestChoice: cheap and rack are cheaper than fast, which the pod got on node a. Every device of a has something to do.
func TestChoice(t *testing.T) {
	cheap, rack, vf := network("cheap"), network("rack", overlaid), network("vf", virtual)
	fast := network("fast", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth9"} })
	here := published("a", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf0", "eth1"), newDevice("VF", "vf1", "eth1"), newDevice("Uplink", "uplink-eth9", "eth9"))
	there := published("b", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("Overlay", "overlay", "eth1"), newDevice("VF", "vf2", "eth1"))
	booked := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {9e9, 0}, {"a", "vf0"}: {}, {"a", "vf1"}: {}}
	offer := func(networks ...*v1alpha1.Network) (offers []Offer) {
		for _, n := range networks {
			offers = append(offers, Offer{n.Name, n})
		}
		return offers
	}
	four := qosClass("four", "4G", "")
	for name, test := range map[string]struct {
		offers []Offer
		class  *v1alpha1.QoSClass
		got    *v1alpha1.Network
		slices []resourcev1.ResourceSlice
		booked map[DeviceKey]Rates
		want   string
	}{
		"the only one": {offers: offer(fast), got: fast, want: "No other Network was offered to the pod with this class."},
		"the cheapest": {offers: offer(cheap, fast), got: cheap, want: "It is the cheapest of those that were offered."},
		"all that can be short": {offers: append(offer(cheap, rack, vf), append([]Offer{{"past", nil}}, offer(fast)...)...), class: four, got: fast, slices: []resourcev1.ResourceSlice{here, there}, booked: booked,
			want: `The scheduler could not give a cheaper one on node "a": Network "cheap" with QoSClass "four" guarantees 4G egress; nodes with a NIC for it that admit the pod: 1, with as much left: 0. ` +
				`The most is left on node a (eth1): 1G of 10G egress, 10G of 10G ingress; Network "rack" has no device on node "a"; Network "vf" has 2 virtual functions on node "a", and none is free; Network "past" is gone.`},
		"without a carrier": {offers: offer(cheap, fast), got: fast, slices: []resourcev1.ResourceSlice{published("a", withTaint(newDevice("Uplink", "uplink-eth1", "eth1"))), there},
			want: `The scheduler could not give a cheaper one on node "a": Network "cheap" has devices on node "a", each of which is tainted.`},
		"has come since": {offers: offer(cheap, fast, vf), class: four, got: fast, slices: []resourcev1.ResourceSlice{here, there},
			want: `The scheduler could not give a cheaper one on node "a": Network "cheap" has room there now, but for what the pod itself has.`},
		"two have come since": {offers: offer(cheap, vf, fast), class: qosClass("nine", "9G", ""), got: fast, slices: []resourcev1.ResourceSlice{here, there},
			want: `The scheduler could not give a cheaper one on node "a": Network "cheap" has room there now, but for what the pod itself has; ` +
				`Network "vf" has room there now, but for what the pod itself has.`},
		"without bandwidth": {offers: offer(vf, fast), class: four, got: fast, slices: []resourcev1.ResourceSlice{published("a", newDevice("VF", "vf0", "eth1"))},
			want: `The scheduler could not give a cheaper one on node "a": Network "vf" has no NIC on node "a" whose bandwidth is known.`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Choice(Planned{Network: test.got, QoS: test.class, Offers: test.offers}, "a", test.slices, test.booked)
			if diff := cmp.Diff(&v1alpha1.NetworkChoice{Offered: namesOf(test.offers), Message: test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestShortOfClass: two nodes with NICs of 10G, one of which has a VF.
func TestShortOfClass(t *testing.T) {
	slices := []resourcev1.ResourceSlice{
		published("a", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf0", "eth1")),
		published("b", newDevice("Uplink", "uplink-eth1", "eth1")),
	}
	cheap, fast, rack := network("cheap"), network("fast", virtual), network("rack", overlaid)
	select4 := func(class *v1alpha1.QoSClass, networks ...*v1alpha1.Network) Planned {
		p := Planned{Selection: selection.Selection{QoSClass: class.Name}, Network: networks[0], QoS: class}
		for _, n := range networks {
			p.Offers = append(p.Offers, Offer{n.Name, n})
		}
		return p
	}
	four, best := qosClass("four", "4G", ""), qosClass("best", "", "")
	full := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {8e9, 0}, {"b", "uplink-eth1"}: {7e9, 0}}
	inUse := map[DeviceKey]Rates{{"a", "vf0"}: {}}
	for name, test := range map[string]struct {
		planned []Planned
		booked  map[DeviceKey]Rates
		says    []string
	}{
		"room":                          {[]Planned{select4(four, rack, fast, cheap)}, nil, nil},
		"room for what asks for little": {[]Planned{select4(best, fast, cheap)}, full, nil},
		"room on the last":              {[]Planned{select4(best, rack, fast, cheap)}, inUse, nil},
		"short everywhere": {[]Planned{select4(four, rack, fast, cheap)}, full, []string{`none of the Networks that have QoSClass "four" has a place for the pod, the cheapest first: ` +
			`Network "rack" has no device on nodes that admit the pod; Network "fast" with QoSClass "four" guarantees 4G egress`, `on node a (eth1): 2G of 10G egress`, `; Network "cheap" with QoSClass`,
			`on node b (eth1): 3G of 10G`, "The pod starts when one has"}},
		"no function left": {[]Planned{select4(best, rack, fast)}, inUse, []string{`Network "rack" has no device`, `Network "fast" has 1 virtual function on nodes that admit the pod, and none is free`}},
		"four times on two nodes": {[]Planned{select4(four, fast, cheap), select4(four, cheap), select4(four, cheap)}, nil,
			[]string{`none of the Networks`, "with as much left beside what else the pod asks for: 0"}},
		"where nothing else is": {[]Planned{{Network: cheap, QoS: qosClass("nine", "9G", "")}, select4(four, fast)}, map[DeviceKey]Rates{{"a", "uplink-eth1"}: {2e9, 0}},
			[]string{`have a place for the pod on 1 nodes, none of which has what else the pod is guaranteed`}},
	} {
		t.Run(name, func(t *testing.T) {
			refusal, _ := NoPlace(test.planned, slices, test.booked)
			if len(test.says) == 0 {
				if refusal != nil {
					t.Error(refusal)
				}
				return
			}
			if refusal == nil || refusal.Reason != v1alpha1.ReasonClassUnavailable {
				t.Fatalf("refusal %+v", refusal)
			}
			refusal.mustSay(t, test.says)
		})
	}
}
