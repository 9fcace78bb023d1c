package decide

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

func TestCheckNetwork(t *testing.T) {
	small := int32(1279)
	cases := map[string]struct {
		edit func(*v1alpha1.Network)
		want []string
	}{
		"good":    {edit: func(*v1alpha1.Network) {}},
		"no ipam": {edit: func(n *v1alpha1.Network) { n.Spec.IPAM = nil }},
		"good routes": {edit: func(n *v1alpha1.Network) {
			n.Spec.Routes = []v1alpha1.Route{{To: "0.0.0.0/0", Via: "10.20.0.9"}, {To: "fd99::/48", Via: "fe80::1"}}
		}},
		"range":     {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].End = "10.20.0.0" }, want: []string{"spec.ipam", "10.20.0.0/24"}},
		"overlap":   {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[1].CIDR = "10.20.0.128/25" }, want: []string{"overlaps"}},
		"multicast": {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[1].CIDR = "224.0.0.0/24" }, want: []string{"224.0.0.0/24", "no host"}},
		"MTU":       {edit: func(n *v1alpha1.Network) { n.Spec.MTU = &small }, want: []string{"1279", "1280", "fd00:20::/64"}},
		"namespace selector": {edit: func(n *v1alpha1.Network) {
			n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		}, want: []string{"spec.namespaceSelector", "Near"}},
		"route without its family": {edit: func(n *v1alpha1.Network) {
			n.Spec.IPAM.Ranges = n.Spec.IPAM.Ranges[:1]
			n.Spec.Routes = []v1alpha1.Route{{To: "fd99::/48"}}
		}, want: []string{"fd99::/48", "no IPv6 range"}},
		"next hop elsewhere": {edit: func(n *v1alpha1.Network) { n.Spec.Routes = []v1alpha1.Route{{To: "10.9.0.0/16", Via: "10.8.0.1"}} }, want: []string{"via 10.8.0.1"}},
		"route twice": {edit: func(n *v1alpha1.Network) {
			n.Spec.Routes = []v1alpha1.Route{{To: "10.9.0.0/16"}, {To: "10.9.0.0/16", Via: "10.20.0.9"}}
		}, want: []string{"twice"}},
		"every problem at once": {edit: func(n *v1alpha1.Network) {
			n.Spec.Macvlan = nil
			n.Spec.MTU = &small
		}, want: []string{"spec.macvlan", "spec.mtu"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := CheckNetwork(network("n", c.edit))
			if len(c.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, part := range c.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not contain %q", err, part)
				}
			}
		})
	}
}

func TestDeviceClass(t *testing.T) {
	speed := resource.MustParse("25G")
	n := network("storage", func(n *v1alpha1.Network) {
		n.Spec.Macvlan.Uplink = v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1", "ens5f0"}, Driver: "mlx5_core", MinLinkSpeed: &speed}
	})
	class := DeviceClass(n)
	want := `device.driver == "multinet.dev"` +
		` && "kind" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["kind"] == "Uplink"` +
		` && "interface" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["interface"] in ["eth1", "ens5f0"]` +
		` && "driver" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["driver"] == "mlx5_core"` +
		` && "linkSpeed" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["linkSpeed"] >= 25000000000`
	if diff := cmp.Diff(want, class.Spec.Selectors[0].CEL.Expression); diff != "" {
		t.Error(diff)
	}
	if class.Name != "storage.multinet.dev" || class.OwnerReferences[0].UID != n.UID {
		t.Errorf("metadata %+v", class.ObjectMeta)
	}
}

func TestClaimTemplate(t *testing.T) {
	gigabit := resource.MustParse("1G")
	gold := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &gigabit}}}
	maximumOnly := &v1alpha1.QoSClass{Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Maximum: &gigabit}}}
	cases := map[string]struct {
		selected string
		class    *v1alpha1.QoSClass
		name     string
		asks     *resourcev1.CapacityRequirements
	}{
		"no class":            {name: "storage.multinet.dev"},
		"the default's class": {class: gold, name: "storage.multinet.dev", asks: &resourcev1.CapacityRequirements{Requests: map[resourcev1.QualifiedName]resource.Quantity{"bandwidth": gigabit}}},
		"selected class":      {selected: "gold", class: gold, name: "storage.gold.multinet.dev", asks: &resourcev1.CapacityRequirements{Requests: map[resourcev1.QualifiedName]resource.Quantity{"bandwidth": gigabit}}},
		"nothing guaranteed":  {selected: "best", class: maximumOnly, name: "storage.best.multinet.dev"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			template := ClaimTemplate("shop", network("storage"), c.selected, c.class)
			request := template.Spec.Spec.Devices.Requests[0]
			if template.Name != c.name || template.Namespace != "shop" || request.Name != "nic" || request.Exactly.DeviceClassName != "storage.multinet.dev" {
				t.Errorf("template %+v", template)
			}
			if diff := cmp.Diff(c.asks, request.Exactly.Capacity); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func slice(node, iface string, speed int64, domain string) resourcev1.ResourceSlice {
	kind := string(v1alpha1.DeviceKindUplink)
	return resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{Driver: v1alpha1.DriverName, NodeName: &node, Devices: []resourcev1.Device{{
		Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
			resourcev1.QualifiedName(domain + "kind"):      {StringValue: &kind},
			resourcev1.QualifiedName(domain + "interface"): {StringValue: &iface},
			resourcev1.QualifiedName(domain + "linkSpeed"): {IntValue: &speed},
		},
	}}}}
}

func TestMatchingNodes(t *testing.T) {
	foreign := slice("c", "eth1", 1e9, "")
	foreign.Spec.Driver = "gpu.example.com"
	all := []resourcev1.ResourceSlice{
		slice("a", "eth1", 1e9, ""), slice("a", "eth1", 25e9, ""), slice("b", "eth1", 25e9, "multinet.dev/"), slice("d", "eth2", 25e9, ""), foreign,
	}
	if got := len(MatchingNodes(network("n"), all)); got != 2 {
		t.Errorf("%d nodes by name", got)
	}
	speed := resource.MustParse("10G")
	fast := network("n", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink = v1alpha1.UplinkSelector{MinLinkSpeed: &speed} })
	if got := len(MatchingNodes(fast, all)); got != 3 {
		t.Errorf("%d nodes by speed", got)
	}
	driver := network("n", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink = v1alpha1.UplinkSelector{Driver: "igb"} })
	if got := len(MatchingNodes(driver, all)); got != 0 {
		t.Errorf("%d nodes by a driver that nobody has", got)
	}
}

func TestOverlaps(t *testing.T) {
	vlan := int32(7)
	others := []v1alpha1.Network{
		*network("same"),
		*network("self"),
		*network("vlan", func(n *v1alpha1.Network) { n.Spec.Macvlan.VLAN = &vlan }),
		*network("elsewhere", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth2"} }),
		*network("apart", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges = []v1alpha1.IPRange{{CIDR: "10.21.0.0/24"}} }),
	}
	got := Overlaps(network("self"), others)
	want := []string{
		`range 10.20.0.0/24 overlaps 10.20.0.0/24 of Network "same" on the same uplink and VLAN`,
		`range fd00:20::/64 overlaps fd00:20::/64 of Network "same" on the same uplink and VLAN`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNetworkStatus(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.20.0.0/24"), netip.MustParsePrefix("fd00:20::/64")
	gone := metav1.Now()
	cases := map[string]struct {
		facts          NetworkFacts
		accepted       metav1.ConditionStatus
		ready          metav1.ConditionStatus
		reason, saying string
	}{
		"ready":           {NetworkFacts{Nodes: 1}, "True", "True", v1alpha1.ReasonReady, "can be attached"},
		"no uplink":       {NetworkFacts{}, "True", "False", v1alpha1.ReasonNoUplink, "spec.macvlan.uplink"},
		"class missing":   {NetworkFacts{Nodes: 1, QoSClassMissing: true}, "True", "False", v1alpha1.ReasonQoSClassNotFound, "create it"},
		"no device class": {NetworkFacts{Nodes: 1, DeviceClassError: errors.New("forbidden\nindeed")}, "True", "False", v1alpha1.ReasonDeviceClassFailed, "forbidden; indeed"},
		"one family full": {NetworkFacts{Nodes: 1, Usage: []ipam.Usage{{Prefix: v4, Full: true}, {Prefix: v6}}}, "True", "False", v1alpha1.ReasonRangeExhausted, "Every IPv4 address"},
		"one range full": {NetworkFacts{Nodes: 1, Usage: []ipam.Usage{{Prefix: v4, Full: true}, {Prefix: netip.MustParsePrefix("10.21.0.0/24")}}},
			"True", "True", v1alpha1.ReasonReady, ""},
		"last range full, first not": {NetworkFacts{Nodes: 1, Usage: []ipam.Usage{{Prefix: v4}, {Prefix: netip.MustParsePrefix("10.21.0.0/24"), Full: true}}},
			"True", "True", v1alpha1.ReasonReady, ""},
		"outside": {NetworkFacts{Nodes: 1, Outside: []string{"10.9.0.2 (shop/db-0)"}}, "True", "True", v1alpha1.ReasonRangeInUse, "10.9.0.2 (shop/db-0)"},
		"broken": {NetworkFacts{Network: network("n", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.99.0.1" })},
			"False", "False", v1alpha1.ReasonInvalidSpec, "condition Accepted"},
		"leaving": {NetworkFacts{Network: network("n", func(n *v1alpha1.Network) { n.DeletionTimestamp = &gone }), Attachments: 3},
			"True", "False", v1alpha1.ReasonInUse, "3 attachments"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.facts.Network == nil {
				c.facts.Network = network("n")
			}
			status := NetworkStatus(c.facts)
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.NetworkConditionReady)
			accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.NetworkConditionAccepted)
			if accepted.Status != c.accepted || ready.Status != c.ready || ready.Reason != c.reason || !strings.Contains(ready.Message, c.saying) {
				t.Errorf("accepted %+v\nready %+v", accepted, ready)
			}
		})
	}
}

// Writing the same status twice must not be a change, or the operator would write for ever.
func TestNetworkStatusIsStable(t *testing.T) {
	n := network("n")
	facts := NetworkFacts{Network: n, Nodes: 1, Overlaps: []string{"range x overlaps y"}, Now: metav1.Unix(1000, 0)}
	n.Status = NetworkStatus(facts)
	facts.Now = metav1.Unix(2000, 0)
	if diff := cmp.Diff(n.Status, NetworkStatus(facts)); diff != "" {
		t.Error(diff)
	}
	facts.Nodes, facts.Overlaps = 0, nil
	changed := NetworkStatus(facts)
	if since := meta.FindStatusCondition(changed.Conditions, "Ready").LastTransitionTime; since.Unix() != 2000 {
		t.Errorf("Ready changed at %s", since)
	}
	if since := meta.FindStatusCondition(changed.Conditions, "Accepted").LastTransitionTime; since.Unix() != 1000 {
		t.Errorf("Accepted changed at %s", since)
	}
	if len(changed.Conditions) != 2 {
		t.Errorf("the overlap is still told: %+v", changed.Conditions)
	}
}
