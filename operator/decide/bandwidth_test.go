package decide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// published is the slice of a node.
func published(node string, devices ...resourcev1.Device) resourcev1.ResourceSlice {
	return resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{
		Driver: v1alpha1.DriverName, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node}, Devices: devices}}
}

func withTaint(d resourcev1.Device) resourcev1.Device {
	d.Taints = []resourcev1.DeviceTaint{{Key: "multinet.dev/no-carrier", Effect: resourcev1.DeviceTaintEffectNoSchedule}}
	return d
}

func result(node, device, egress, ingress string) resourcev1.DeviceRequestAllocationResult {
	r := resourcev1.DeviceRequestAllocationResult{Driver: v1alpha1.DriverName, Pool: node, Device: device, ConsumedCapacity: map[resourcev1.QualifiedName]resource.Quantity{}}
	if egress != "" {
		r.ConsumedCapacity["bandwidth"] = resource.MustParse(egress)
	}
	if ingress != "" {
		r.ConsumedCapacity["multinet.dev/ingressBandwidth"] = resource.MustParse(ingress)
	}
	return r
}

func claim(results ...resourcev1.DeviceRequestAllocationResult) resourcev1.ResourceClaim {
	c := resourcev1.ResourceClaim{}
	c.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: results}}
	return c
}

func TestBooked(t *testing.T) {
	foreign := result("a", "gpu", "1G", "1G")
	foreign.Driver = "gpu.example.com"
	both := claim(result("a", "vf0", "", ""), result("a", "uplink-eth1", "1G", "2G"), foreign)
	for i, request := range []string{"nic/fast", "bandwidth", "nic"} {
		both.Status.Allocation.Devices.Results[i].Request = request
	}
	got := Booked([]resourcev1.ResourceClaim{{}, claim(result("a", "uplink-eth1", "4G", "")), both, claim(result("b", "uplink-eth1", "1G", ""))})
	want := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {5e9, 2e9}, {"a", "vf0"}: {}, {"b", "uplink-eth1"}: {1e9, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := BookedBy(&both, "nic"); got != (Rates{1e9, 2e9}) {
		t.Errorf("one interface has %v", got)
	}
	shared := claim(result("a", "uplink-eth1", "1G", ""), result("a", "uplink-eth1", "3G", ""))
	shared.Status.Allocation.Devices.Results[0].Request, shared.Status.Allocation.Devices.Results[1].Request = "left", "right"
	if got := BookedBy(&shared, "right"); got != (Rates{3e9, 0}) {
		t.Errorf("the second interface of a claim has %v", got)
	}
}

func TestNICs(t *testing.T) {
	slices := []resourcev1.ResourceSlice{
		published("b", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf0", "eth1"), newDevice("Overlay", "overlay", "eth0"), newDevice("NIC", "nic-eth0", "eth0")),
		published("a", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf1", "eth2"), newDevice("NIC", "nic-eth2", "eth2"), newDevice("VF", "vf2", "eth1")),
		published("c", withTaint(newDevice("Uplink", "uplink-eth1", "eth1"))),
	}
	foreign := published("d", newDevice("Uplink", "uplink-eth1", "eth1"))
	foreign.Spec.Driver = "gpu.example.com"
	booked := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {4e9, 1e9}, {"a", "nic-eth2"}: {1e9, 0}}
	ten := Rates{1e10, 1e10}
	for name, test := range map[string]struct {
		network *v1alpha1.Network
		want    []NIC
	}{
		"uplinks": {network("n"), []NIC{{"a", "eth1", ten, Rates{4e9, 1e9}}, {"b", "eth1", ten, Rates{}}}},
		"VFs":     {network("n", virtual), []NIC{{"a", "eth1", ten, Rates{4e9, 1e9}}, {"a", "eth2", ten, Rates{1e9, 0}}, {"b", "eth1", ten, Rates{}}}},
		"overlay": {network("n", overlaid), []NIC{{"b", "eth0", ten, Rates{}}}},
	} {
		if diff := cmp.Diff(test.want, NICs(test.network, append(slices, foreign), booked)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestNoPlace(t *testing.T) {
	slices := []resourcev1.ResourceSlice{
		published("a", newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf0", "eth1")),
		published("b", newDevice("Uplink", "uplink-eth1", "eth1")),
		published("c", newDevice("Uplink", "uplink-eth2", "eth2")),
	}
	storage, fast := network("storage"), network("fast", virtual)
	full := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {8e9, 0}, {"b", "uplink-eth1"}: {7e9, 9e9}}
	over := map[DeviceKey]Rates{{"a", "uplink-eth1"}: {12e9, 0}, {"b", "uplink-eth1"}: {11e9, 0}}
	four, in := qosClass("four", "4G", ""), qosClass("in", "", "2G")
	for name, test := range map[string]struct {
		planned []Planned
		booked  map[DeviceKey]Rates
		says    []string
		enough  bool
		// reason is InsufficientBandwidth where it is empty.
		reason string
	}{
		"nothing guaranteed": {[]Planned{{Network: storage}, {Network: storage, QoS: qosClass("best", "", "")}}, over, nil, false, ""},
		"room on one node":   {[]Planned{{Network: storage, QoS: four}}, map[DeviceKey]Rates{{"a", "uplink-eth1"}: {8e9, 0}}, nil, true, ""},
		"room everywhere":    {[]Planned{{Network: storage, QoS: four}, {Network: fast, QoS: four}}, nil, nil, true, ""},
		"by a user's claim":  {[]Planned{{Network: storage, QoS: four, Selection: selection.Selection{Request: "nic"}}}, full, nil, false, ""},
		"no device at all": {planned: []Planned{{Network: network("rack", overlaid), QoS: four}}, booked: full, reason: v1alpha1.ReasonNoNode,
			says: []string{`Network "rack" has no device on nodes that admit the pod`}},
		"no device, nothing guaranteed": {planned: []Planned{{Network: storage}, {Network: network("rack", overlaid)}}, reason: v1alpha1.ReasonNoNode,
			says: []string{`Network "rack" has no device on nodes that admit the pod`, "the conditions of the Network"}},
		"the VF is in use": {planned: []Planned{{Network: fast}}, booked: map[DeviceKey]Rates{{"a", "vf0"}: {}}, reason: v1alpha1.ReasonNoNode,
			says: []string{`Network "fast" has 1 virtual function on nodes that admit the pod, and none is free`}},
		"the NIC is in use": {planned: []Planned{{Network: network("whole", wholeNIC)}}, booked: map[DeviceKey]Rates{{"a", "uplink-eth1"}: {}, {"b", "uplink-eth1"}: {}}, reason: v1alpha1.ReasonNoNode,
			says: []string{`Network "whole" has 2 NICs on nodes that admit the pod, and none is free`}},
		"a NIC is free": {planned: []Planned{{Network: network("whole", wholeNIC)}}, booked: map[DeviceKey]Rates{{"a", "uplink-eth1"}: {}}},
		"on different nodes, nothing guaranteed": {planned: []Planned{{Network: fast}, {Network: network("slow", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth2"} })}},
			reason: v1alpha1.ReasonNoNode, says: []string{`Network "slow" can be had on nodes that admit the pod (c), none of which has what the pod selects before it`}},
		"full": {[]Planned{{Network: storage, QoS: four}}, full, []string{`Network "storage" with QoSClass "four" guarantees 4G egress; nodes with a NIC for it that admit the pod: 2, with as much left: 0.`,
			"node a (eth1): 2G of 10G egress, 10G of 10G ingress"}, false, ""},
		"full for ingress is room for egress": {[]Planned{{Network: storage, QoS: qosClass("three", "3G", "")}}, full, nil, true, ""},
		"ingress fits on one":                 {[]Planned{{Network: storage, QoS: in}}, full, nil, true, ""},
		"more promised than there is":         {[]Planned{{Network: storage, QoS: four}}, over, []string{"0 of 10G egress, 10G of 10G ingress"}, false, ""},
		"more than any NIC has":               {[]Planned{{Network: storage, QoS: qosClass("huge", "11G", "1G")}}, nil, []string{"11G egress and 1G ingress"}, false, ""},
		"three of one pod": {[]Planned{{Network: storage, QoS: four}, {Network: storage, QoS: four}, {Network: fast, QoS: four}}, nil,
			[]string{`Network "fast"`, "that admit the pod: 1, with as much left beside what else the pod asks for"}, false, ""},
		"on different nodes": {[]Planned{{Network: fast, QoS: four}, {Network: storage, QoS: four}}, map[DeviceKey]Rates{{"a", "uplink-eth1"}: {4e9, 0}},
			[]string{`Network "storage"`, "with as much left beside what else"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			refusal, enough := NoPlace(test.planned, slices, test.booked)
			if enough != test.enough {
				t.Errorf("enough is %v", enough)
			}
			if (refusal == nil) != (test.says == nil) {
				t.Fatalf("refusal %+v", refusal)
			}
			if test.reason == "" {
				test.reason = v1alpha1.ReasonInsufficientBandwidth
			}
			for _, part := range test.says {
				if refusal.Reason != test.reason || !strings.Contains(refusal.Message, part) {
					t.Errorf("%s: %q does not say %q", refusal.Reason, refusal.Message, part)
				}
			}
		})
	}
}

func TestBandwidthStatus(t *testing.T) {
	use := func(guaranteed, total string) v1alpha1.BandwidthUse {
		return v1alpha1.BandwidthUse{Guaranteed: resource.MustParse(guaranteed), Total: resource.MustParse(total)}
	}
	uplinks, fullest, summary := bandwidthStatus([]NIC{
		{"a", "eth1", Rates{1e10, 1e10}, Rates{4e9, 1e9}}, {"a", "eth2", Rates{1e9, 1e9}, Rates{5e8, 0}}, {"b", "eth1", Rates{1e10, 1e10}, Rates{}},
	})
	if diff := cmp.Diff([]v1alpha1.UplinkBandwidth{
		{Uplink: "eth1", Nodes: 2, Egress: use("4G", "20G"), Ingress: use("1G", "20G")}, {Uplink: "eth2", Nodes: 1, Egress: use("500M", "1G"), Ingress: use("0", "1G")},
	}, uplinks); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]v1alpha1.NodeBandwidth{
		{Node: "a", Uplink: "eth2", Egress: use("500M", "1G"), Ingress: use("0", "1G")}, {Node: "a", Uplink: "eth1", Egress: use("4G", "10G"), Ingress: use("1G", "10G")},
	}, fullest); diff != "" {
		t.Error(diff)
	}
	if summary != "4500M/21G out, 1G/21G in" {
		t.Errorf("summary %q", summary)
	}
	var many []NIC
	for i := range 5000 {
		name := "eth" + strings.Repeat("x", i%100)
		many = append(many, NIC{Node: name, Interface: name, Total: Rates{1e10, 1e10}, Booked: Rates{int64(i), 0}})
	}
	if uplinks, fullest, _ = bandwidthStatus(many); len(uplinks) != 16 || len(fullest) != 5 || fullest[0].Egress.Guaranteed.Value() != 4999 {
		t.Errorf("%d uplinks, fullest %+v", len(uplinks), fullest)
	}
	if uplinks, fullest, summary = bandwidthStatus(nil); uplinks != nil || fullest != nil || summary != "" {
		t.Errorf("of nothing: %v %v %q", uplinks, fullest, summary)
	}
}

// A NIC counts where the pod can be: what another node has left is no use to it.
func TestAdmitting(t *testing.T) {
	node := func(name string, taints ...corev1.Taint) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}, Spec: corev1.NodeSpec{Taints: taints}}
	}
	closed := corev1.Taint{Key: "example.com/own", Effect: corev1.TaintEffectNoSchedule}
	nodes := []corev1.Node{node("a"), node("b"), node("c", closed), node("d", corev1.Taint{Key: "x", Effect: corev1.TaintEffectPreferNoSchedule},
		corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})}
	var all []resourcev1.ResourceSlice
	for _, name := range []string{"a", "b", "c", "d", "unknown"} {
		all = append(all, published(name))
	}
	for name, test := range map[string]struct {
		spec corev1.PodSpec
		want []string
	}{
		"anywhere":   {corev1.PodSpec{}, []string{"a", "b", "d", "unknown"}},
		"tolerating": {corev1.PodSpec{Tolerations: []corev1.Toleration{{Key: closed.Key, Operator: corev1.TolerationOpExists}}}, []string{"a", "b", "c", "d", "unknown"}},
		"selecting":  {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelHostname: "b"}}, []string{"b", "unknown"}},
		"by affinity": {corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"a", "b"}}}}}}}}}, []string{"d", "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, slice := range Admitting(&corev1.Pod{Spec: test.spec}, nodes, all) {
				got = append(got, *slice.Spec.NodeName)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
