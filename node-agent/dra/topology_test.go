package dra

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

func rackNode() Node {
	numa := 0
	return Node{
		Devices: []inventory.Device{
			{Name: "uplink-eth1", Kind: v1alpha1.DeviceKindUplink, Interface: "eth1", Bandwidth: 1e9, Carrier: true, NUMANode: &numa},
			{Name: "overlay", Kind: v1alpha1.DeviceKindOverlay, Interface: "eth0", Bandwidth: 4e9, LinkSpeed: 1e10},
			{Name: "nic-eth0", Kind: v1alpha1.DeviceKindNIC, Interface: "eth0", Bandwidth: 4e9, Promised: 8e9},
		},
		Topology: map[string]string{"topology.multinet.dev/rack": "r1", "kubernetes.io/hostname": "n1", "example.com/the-row.x": "7"},
	}
}

func TestEveryDeviceTellsWhereItIs(t *testing.T) {
	text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	number := func(n int64) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{IntValue: &n} }
	topology := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"rack": text("r1"), "kubernetes.io/hostname": text("n1"), "example.com/the_row_x": text("7")}
	own := map[string]map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"uplink-eth1": {"kind": text("Uplink"), "interface": text("eth1"), "nic": text("eth1"), "resource.kubernetes.io/numaNode": number(0)},
		"overlay":     {"kind": text("Overlay"), "interface": text("eth0"), "nic": text("eth0"), "linkSpeed": number(1e10)},
		"nic-eth0":    {"kind": text("NIC"), "interface": text("eth0"), "nic": text("eth0")},
	}
	devices := resources("n1", rackNode()).Pools["n1"].Slices[0].Devices
	if len(devices) != len(own) {
		t.Fatalf("%d devices, want %d", len(devices), len(own))
	}
	for _, d := range devices {
		want := own[d.Name]
		for name, value := range topology {
			want[name] = value
		}
		if diff := cmp.Diff(want, d.Attributes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d.Name, diff)
		}
		if shared := d.AllowMultipleAllocations; shared == nil || !*shared {
			t.Errorf("%s is for one pod only", d.Name)
		}
	}
	overlay := devices[1]
	if len(overlay.Capacity) != 0 {
		t.Errorf("the overlay offers the bandwidth of its NIC once more: %v", overlay.Capacity)
	}
	if _, has := devices[2].Capacity["links"]; has {
		t.Error("a NIC that is no uplink can be had as a whole")
	}
	if capacity := devices[2].Capacity["ingressBandwidth"]; capacity.Value.Value() != 8e9 {
		t.Errorf("the overlay's NIC has the bandwidth %s", capacity.Value.String())
	}
	if len(overlay.Taints) != 1 || overlay.Taints[0].Key != v1alpha1.DeviceTaintNoCarrier {
		t.Errorf("overlay without a carrier has the taints %v", overlay.Taints)
	}
}

// TestAttributesFitIntoADevice has everything that a device can carry.
func TestAttributesFitIntoADevice(t *testing.T) {
	text, labels, numa := "topologyKeys:\n", map[string]string{}, 1
	for i := range 12 {
		key := fmt.Sprintf("example.com/k%d", i)
		text += "- " + key + "\n"
		labels[key] = "x"
	}
	for _, key := range []string{"topology.multinet.dev/rack", "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"} {
		labels[key] = "x"
	}
	config, err := inventory.ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := device(inventory.Device{Name: "vf-a", Kind: v1alpha1.DeviceKindVF, PF: "eth1", Driver: "d", Vendor: "v", DeviceID: "i", PCIAddress: "a",
		PCIeRoot: "r", NUMANode: &numa, LinkSpeed: 1, RDMADevice: "m"}, config.Topology(labels))
	if n := len(d.Attributes) + len(d.Capacity); n != 32 || n > resourceapi.ResourceSliceMaxAttributesAndCapacitiesPerDevice {
		t.Errorf("%d attributes and capacities, want 32 of at most %d", n, resourceapi.ResourceSliceMaxAttributesAndCapacitiesPerDevice)
	}
}

func TestOverlay(t *testing.T) {
	node := rackNode()
	d := NewDevices(func() (Node, error) { return node, nil })
	if got, ok := d.Overlay(); ok {
		t.Errorf("overlay %v before anything was read", got)
	}
	if _, err := d.Refresh(); err != nil {
		t.Fatal(err)
	}
	if d.Carrier(plan.Device{Uplink: "eth7"}) {
		t.Error("an interface that is not there has a carrier")
	}
	want := plan.Device{Name: "overlay", Uplink: "eth0", LinkSpeed: 1e10}
	if got, ok := d.Overlay(); !ok || got != want {
		t.Errorf("overlay %v %v, want %v", got, ok, want)
	}
	if got, ok := d.Device("overlay"); !ok || got != want {
		t.Errorf("device %v %v, want %v", got, ok, want)
	}
	node.Topology = map[string]string{"topology.multinet.dev/rack": "r2"}
	if changed, err := d.Refresh(); !changed || err != nil {
		t.Errorf("another rack: changed %v, %v", changed, err)
	}
}

func TestCarrierWhileTheNodeIsNotKnown(t *testing.T) {
	d := NewDevices(func() (Node, error) {
		return Node{Devices: []inventory.Device{{Name: "uplink-eth1", Interface: "eth1"}}, Unplaced: true}, nil
	})
	if _, err := d.Refresh(); err != nil {
		t.Fatal(err)
	}
	if d.Carrier(plan.Device{Uplink: "eth1"}) {
		t.Error("a NIC without carrier has one")
	}
	if !d.Carrier(plan.Device{Uplink: "eth0"}) {
		t.Error("what may carry the overlay has none, so that its pods become unready")
	}
}
