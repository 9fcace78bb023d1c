package decide

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// rackNetwork is an overlay in racks of 4 and 6.
func rackNetwork(name string, edits ...func(*v1alpha1.Network)) *v1alpha1.Network {
	four, six := int32(26), int32(64)
	return network(name, append([]func(*v1alpha1.Network){func(n *v1alpha1.Network) {
		n.Spec.Type, n.Spec.Macvlan = v1alpha1.NetworkTypeRackLocal, nil
		n.Spec.RackLocal = &v1alpha1.RackLocalSpec{
			TopologyKey: v1alpha1.DefaultTopologyKey, PrefixLength: &v1alpha1.RackPrefixLength{IPv4: &four, IPv6: &six},
			Overlay: &v1alpha1.RackOverlaySpec{VNIs: v1alpha1.VNIRange{First: 5000000, Last: 5999999}, Port: 4789},
		}
		n.Spec.IPAM = &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: "10.40.0.0/25"}, {CIDR: "fd00:40::/48"}}}
	}}, edits...)...)
}

func onUplink(n *v1alpha1.Network) {
	n.Spec.RackLocal.Overlay = nil
	n.Spec.RackLocal.Uplink = &v1alpha1.RackUplinkSpec{UplinkSelector: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}}
}

func TestCheckRackLocal(t *testing.T) {
	small := int32(1279)
	cases := map[string]struct {
		edit func(*v1alpha1.Network)
		want []string
	}{
		"good":    {edit: func(*v1alpha1.Network) {}},
		"no ipam": {edit: func(n *v1alpha1.Network) { n.Spec.IPAM, n.Spec.RackLocal.PrefixLength = nil, nil }},
		"exclude and routes on link": {edit: func(n *v1alpha1.Network) {
			n.Spec.IPAM.Ranges[0].Exclude = []string{"10.40.0.8/29"}
			n.Spec.Routes = []v1alpha1.Route{{To: "10.9.0.0/16"}, {To: "fd99::/48", Via: "fe80::1"}}
		}},
		"nothing":          {edit: func(n *v1alpha1.Network) { n.Spec.RackLocal = nil }, want: []string{"spec.rackLocal is missing"}},
		"no path":          {edit: func(n *v1alpha1.Network) { n.Spec.RackLocal.Overlay = nil }, want: []string{"uplink and overlay"}},
		"start":            {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.40.0.9" }, want: []string{"10.40.0.0/25", "start, end and gateway"}},
		"gateway":          {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[1].Gateway = "fd00:40::1" }, want: []string{"fd00:40::/48", "gateway"}},
		"no prefix length": {edit: func(n *v1alpha1.Network) { n.Spec.RackLocal.PrefixLength.IPv6 = nil }, want: []string{"fd00:40::/48", "IPv6"}},
		"no lengths":       {edit: func(n *v1alpha1.Network) { n.Spec.RackLocal.PrefixLength = nil }, want: []string{"10.40.0.0/25", "fd00:40::/48"}},
		"too short":        {edit: func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].CIDR = "10.40.0.0/27" }, want: []string{"/26", "10.40.0.0/27"}},
		"next hop in one rack": {edit: func(n *v1alpha1.Network) { n.Spec.Routes = []v1alpha1.Route{{To: "10.9.0.0/16", Via: "10.40.0.9"}} },
			want: []string{"via 10.40.0.9", "one rack only"}},
		"MTU": {edit: func(n *v1alpha1.Network) { n.Spec.MTU = &small }, want: []string{"1280"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := CheckNetwork(rackNetwork("n", c.edit))
			if (err == nil) != (len(c.want) == 0) {
				t.Fatal(err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not contain %q", err, part)
				}
			}
		})
	}
}

func TestRackDeviceClass(t *testing.T) {
	driver := `device.driver == "multinet.dev"`
	kind := func(k string) string {
		return ` && "kind" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["kind"] == "` + k + `"`
	}
	uplink := ` && "interface" in device.attributes["multinet.dev"] && device.attributes["multinet.dev"]["interface"] in ["eth1"]`
	cases := map[string]struct {
		key, want string
		edits     []func(*v1alpha1.Network)
	}{
		"overlay":  {key: v1alpha1.DefaultTopologyKey, want: driver + kind("Overlay") + ` && "rack" in device.attributes["multinet.dev"]`},
		"hostname": {key: "kubernetes.io/hostname", want: driver + kind("Overlay") + ` && "hostname" in device.attributes["kubernetes.io"]`},
		"uplink": {key: "example.com/row-of.racks", edits: []func(*v1alpha1.Network){onUplink},
			want: driver + kind("Uplink") + ` && "row_of_racks" in device.attributes["example.com"]` + uplink},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := rackNetwork("r", append(c.edits, func(n *v1alpha1.Network) { n.Spec.RackLocal.TopologyKey = c.key })...)
			if diff := cmp.Diff(c.want, DeviceClass(n).Spec.Selectors[0].CEL.Expression); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// device is one with a kind, an interface and topology attributes.
func device(kind v1alpha1.DeviceKind, attributes ...string) resourcev1.Device {
	k, iface, value := string(kind), "eth1", "r1"
	d := resourcev1.Device{Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
		v1alpha1.DeviceAttributeKind: {StringValue: &k}, v1alpha1.DeviceAttributeInterface: {StringValue: &iface},
	}}
	for _, name := range attributes {
		d.Attributes[resourcev1.QualifiedName(name)] = resourcev1.DeviceAttribute{StringValue: &value}
	}
	return d
}

func TestRackMatches(t *testing.T) {
	hostname := func(n *v1alpha1.Network) { n.Spec.RackLocal.TopologyKey = "kubernetes.io/hostname" }
	cases := map[string]struct {
		network *v1alpha1.Network
		device  resourcev1.Device
		want    bool
	}{
		"overlay":                          {rackNetwork("n"), device("Overlay", "rack"), true},
		"overlay, attribute with a domain": {rackNetwork("n"), device("Overlay", "multinet.dev/rack"), true},
		"overlay without a rack":           {rackNetwork("n"), device("Overlay"), false},
		"a NIC is no overlay":              {rackNetwork("n"), device("Uplink", "rack"), false},
		"uplink":                           {rackNetwork("n", onUplink), device("Uplink", "rack"), true},
		"uplink without a rack":            {rackNetwork("n", onUplink), device("Uplink", "kubernetes.io/hostname"), false},
		"hostname":                         {rackNetwork("n", hostname), device("Overlay", "kubernetes.io/hostname"), true},
		"hostname in the wrong domain":     {rackNetwork("n", hostname), device("Overlay", "hostname"), false},
		"a Macvlan needs no rack":          {network("n"), device("Uplink"), true},
		"a Macvlan is on no overlay":       {network("n"), device("Overlay", "rack"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := matches(c.network, deviceTests(c.network), c.device); got != c.want {
				t.Errorf("matches: %v", got)
			}
		})
	}
}

func TestRackOverlaps(t *testing.T) {
	wide := func(n *v1alpha1.Network) {
		n.Spec.IPAM.Ranges = n.Spec.IPAM.Ranges[:1]
		n.Spec.IPAM.Ranges[0].CIDR = "10.40.0.0/16"
	}
	others := []v1alpha1.Network{*rackNetwork("overlay", wide), *rackNetwork("wired", wide, onUplink), *network("macvlan", wide)}
	want := []string{
		`range 10.40.0.0/25 overlaps 10.40.0.0/16 of Network "macvlan" on the same uplink and VLAN`,
		`range 10.40.0.0/25 overlaps 10.40.0.0/16 of Network "wired" on the same uplink and VLAN`,
	}
	if diff := cmp.Diff(want, Overlaps(rackNetwork("self", onUplink), others)); diff != "" {
		t.Error(diff)
	}
	if found := Overlaps(rackNetwork("self"), others); len(found) > 0 {
		t.Errorf("overlays meet nobody: %v", found)
	}
}

func TestAttachmentRack(t *testing.T) {
	node := func(edit func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1", Labels: map[string]string{v1alpha1.DefaultTopologyKey: "r1"}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: "Hostname", Address: "node1"}, {Type: "InternalIP", Address: "192.0.2.1"}, {Type: "InternalIP", Address: "2001:db8::1"}}}}
		edit(n)
		return n
	}
	good := node(func(*corev1.Node) {})
	overlay := &v1alpha1.AttachmentOverlay{Port: 4789, NodeAddress: "192.0.2.1"}
	cases := map[string]struct {
		network *v1alpha1.Network
		node    *corev1.Node
		want    *v1alpha1.AttachmentRack
		refusal string
	}{
		"overlay":    {network: rackNetwork("n"), node: good, want: &v1alpha1.AttachmentRack{Rack: "r1", Overlay: overlay}},
		"uplink":     {network: rackNetwork("n", onUplink), node: good, want: &v1alpha1.AttachmentRack{Rack: "r1", Uplink: rackNetwork("n", onUplink).Spec.RackLocal.Uplink}},
		"macvlan":    {network: network("n"), node: nil},
		"no node":    {network: rackNetwork("n"), node: nil, refusal: "scheduled again"},
		"no label":   {network: rackNetwork("n"), node: node(func(n *corev1.Node) { n.Labels = nil }), refusal: `node "node1", which has no label topology.multinet.dev/rack`},
		"no address": {network: rackNetwork("n"), node: node(func(n *corev1.Node) { n.Status.Addresses = nil }), refusal: "InternalIP"},
		"no address, which an uplink does not need": {network: rackNetwork("n", onUplink), node: node(func(n *corev1.Node) { n.Status.Addresses = nil }),
			want: &v1alpha1.AttachmentRack{Rack: "r1", Uplink: rackNetwork("n", onUplink).Spec.RackLocal.Uplink}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, refusal := AttachmentRack(c.network, c.node)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if (refusal == nil) != (c.refusal == "") || refusal != nil && (refusal.Reason != v1alpha1.ReasonNodeWithoutRack || !strings.Contains(refusal.Message, c.refusal)) {
				t.Errorf("refusal %+v", refusal)
			}
		})
	}
}

func TestRackAttachment(t *testing.T) {
	n := rackNetwork("rack", func(n *v1alpha1.Network) { n.Spec.Routes = []v1alpha1.Route{{To: "10.99.0.0/16"}} })
	rack := &v1alpha1.AttachmentRack{Rack: "r1", Overlay: &v1alpha1.AttachmentOverlay{VNI: 5000000, Port: 4789, NodeAddress: "192.0.2.1"}}
	planned := Planned{Selection: selection.Selection{Network: "rack", Interface: "net1"}, Network: n, Routes: n.Spec.Routes, Rack: rack}
	spec := Attachment(podSelecting("rack"), planned, assignments()[1:]).Spec
	if spec.Type != v1alpha1.NetworkTypeRackLocal || spec.Macvlan != nil || !cmp.Equal(spec.RackLocal, rack) {
		t.Errorf("spec %+v", spec)
	}
	if diff := cmp.Diff(n.Spec.Routes, spec.Routes); diff != "" {
		t.Errorf("a route is not on link:\n%s", diff)
	}
}

func TestRackStatus(t *testing.T) {
	served := v1alpha1.RackStatus{Name: "r1", Nodes: 2, Prefixes: []string{"10.40.0.0/26", "fd00:40::/64"}, VNI: 5000000}
	cases := map[string]struct {
		facts  NetworkFacts
		reason string
		saying []string
	}{
		"all served": {NetworkFacts{Racks: []v1alpha1.RackStatus{served}}, v1alpha1.ReasonAllRacks, nil},
		"no prefix of one family": {NetworkFacts{Racks: []v1alpha1.RackStatus{served, {Name: "r2", Nodes: 1, VNI: 5, Prefixes: []string{"10.40.0.64/26"}}}},
			v1alpha1.ReasonOutOfPrefixes, []string{"r2 (IPv6)", "add a range"}},
		"no node needs it": {NetworkFacts{Racks: []v1alpha1.RackStatus{{Name: "r2", Attachments: 1}}}, v1alpha1.ReasonAllRacks, nil},
		"no VNI": {NetworkFacts{Racks: []v1alpha1.RackStatus{{Name: "r1", Nodes: 1, Prefixes: served.Prefixes}}},
			v1alpha1.ReasonOutOfVNIs, []string{"r1", "vnis"}},
		"no room": {NetworkFacts{Unlisted: []string{"r9"}}, v1alpha1.ReasonOutOfPrefixes, []string{"5000", "r9"}},
		"full": {NetworkFacts{Racks: []v1alpha1.RackStatus{served}, Usage: []ipam.Usage{{Scope: "r1", Prefix: assignments()[0].Prefix, Full: true}}},
			v1alpha1.ReasonRackFull, []string{"r1 (10.20.0.0/24)"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.facts.Network, c.facts.Nodes = rackNetwork("n"), 3
			status := NetworkStatus(c.facts)
			got := meta.FindStatusCondition(status.Conditions, v1alpha1.NetworkConditionRacksServed)
			if got.Reason != c.reason || (got.Status == metav1.ConditionTrue) != (c.reason == v1alpha1.ReasonAllRacks) {
				t.Errorf("condition %+v", got)
			}
			for _, part := range c.saying {
				if !strings.Contains(got.Message, part) {
					t.Errorf("%q does not say %q", got.Message, part)
				}
			}
			if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.NetworkConditionReady) || status.Ranges != nil {
				t.Errorf("status %+v", status)
			}
		})
	}
}

func TestRackStatusTellsMoves(t *testing.T) {
	facts := NetworkFacts{Network: rackNetwork("n"), Nodes: 1, Moved: []string{"shop/db-0 (rack r1, node a)"}, Now: metav1.Unix(1000, 0)}
	for i := range 7 {
		facts.Racks = append(facts.Racks, v1alpha1.RackStatus{Name: fmt.Sprint("r", i)})
	}
	status := NetworkStatus(facts)
	moved := meta.FindStatusCondition(status.Conditions, v1alpha1.NetworkConditionNodeMoved)
	if moved == nil || !strings.Contains(moved.Message, "shop/db-0 (rack r1, node a)") || status.RackSummary != "r0, r1, r2, r3, r4 and 2 more" {
		t.Errorf("status %+v", status)
	}
	facts.Network.Status, facts.Moved = status, nil
	if after := NetworkStatus(facts); meta.FindStatusCondition(after.Conditions, v1alpha1.NetworkConditionNodeMoved) != nil {
		t.Error("the move is still told")
	}
}

func TestNoUplinkNamesWhatToCheck(t *testing.T) {
	hostname := func(n *v1alpha1.Network) { n.Spec.RackLocal.TopologyKey = "example.com/row" }
	for name, c := range map[string]struct {
		network *v1alpha1.Network
		want    []string
	}{
		"uplink":  {rackNetwork("n", hostname, onUplink), []string{"example.com/row", "topologyKeys", "spec.rackLocal.uplink"}},
		"overlay": {rackNetwork("n", hostname), []string{"example.com/row", "topologyKeys"}},
	} {
		t.Run(name, func(t *testing.T) {
			ready := meta.FindStatusCondition(NetworkStatus(NetworkFacts{Network: c.network}).Conditions, v1alpha1.NetworkConditionReady)
			for _, part := range c.want {
				if ready.Reason != v1alpha1.ReasonNoUplink || !strings.Contains(ready.Message, part) {
					t.Errorf("%+v does not say %q", ready, part)
				}
			}
		})
	}
}

// Node-local networks have as many racks as the cluster has nodes.
func TestManyRacks(t *testing.T) {
	n := rackNetwork("n", func(n *v1alpha1.Network) {
		n.Spec.IPAM.Ranges[0].CIDR = "10.0.0.0/8"
	})
	facts := RackFacts{Network: n, Nodes: map[string]int32{}, VNITaken: func(int32) bool { return false }, Now: time.Unix(1000, 0)}
	for i := range MaxRacks + 1 {
		facts.Nodes[fmt.Sprintf("node%05d", i)] = 1
	}
	first := Racks(facts)
	if len(first.Racks) != MaxRacks || !cmp.Equal(first.Unlisted, []string{fmt.Sprintf("node%05d", MaxRacks)}) {
		t.Fatalf("%d racks, unlisted %v", len(first.Racks), first.Unlisted)
	}
	facts.Recorded = first.Racks
	begin := time.Now()
	if again := Racks(facts); !cmp.Equal(first, again) {
		t.Error("the second plan differs")
	}
	t.Logf("a plan in which nothing changes took %s", time.Since(begin))
}
