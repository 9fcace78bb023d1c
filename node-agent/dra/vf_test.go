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

func vfDevice(index int) inventory.Device {
	numa := 1
	return inventory.Device{
		Name: fmt.Sprintf("vf-0000-01-10-%d", index), Kind: v1alpha1.DeviceKindVF, PCIAddress: fmt.Sprintf("0000:01:10.%d", index), PCIeRoot: "pci0000:00",
		PF: "ens9", PFAddress: "0000:01:00.0", VFIndex: index, Driver: "igb", Vendor: "0x8086", DeviceID: "0x10ca", NUMANode: &numa,
		LinkSpeed: 1e9, Carrier: true, RDMADevice: "rocep0", IOMMUGroup: "10",
	}
}

// TestVirtualFunctionIsExclusive: one pod has it for itself, also one that asks for all of a NIC, and Multus finds it by the two attributes that it looks for.
func TestVirtualFunctionIsExclusive(t *testing.T) {
	got := device(vfDevice(3), nil)
	if links := got.Capacity["links"]; got.AllowMultipleAllocations != nil || len(got.Capacity) != 1 || links.Value.Value() != v1alpha1.WholeUplink {
		t.Errorf("a VF can be shared, or is not one whole: %+v", got)
	}
	text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	number := func(n int64) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{IntValue: &n} }
	carrier := true
	want := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"kind": text("VF"), "pf": text("ens9"), "nic": text("ens9"), "vfIndex": number(3), "driver": text("igb"), "vendor": text("0x8086"), "device": text("0x10ca"),
		"linkSpeed": number(1e9), "carrier": {BoolValue: &carrier}, "rdmaDevice": text("rocep0"),
		"resource.kubernetes.io/pcieRoot": text("pci0000:00"), "resource.kubernetes.io/pciBusID": text("0000:01:10.3"),
		"resource.kubernetes.io/numaNode": number(1),
		"k8s.cni.cncf.io/deviceID":        text("0000:01:10.3"), "k8s.cni.cncf.io/resourceName": text("multinet.dev/ens9"),
	}
	if diff := cmp.Diff(want, got.Attributes); diff != "" {
		t.Error(diff)
	}
}

func TestPlanNamesTheVirtualFunction(t *testing.T) {
	d := NewDevices(func() (Node, error) { return Node{Devices: []inventory.Device{vfDevice(3)}}, nil })
	if _, err := d.Refresh(); err != nil {
		t.Fatal(err)
	}
	got, ok := d.Device("vf-0000-01-10-3")
	numa := int32(1)
	want := plan.Device{
		Name: "vf-0000-01-10-3", PCIAddress: "0000:01:10.3", PCIeRoot: "pci0000:00", Driver: "igb", Vendor: "0x8086", NUMANode: &numa, LinkSpeed: 1e9,
		PF: "ens9", PFAddress: "0000:01:00.0", VFIndex: 3, RDMADevice: "rocep0", IOMMUGroup: "10",
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("found %v (-want +got):\n%s", ok, diff)
	}
	if other, ok := d.Select(v1alpha1.UplinkSelector{MinLinkSpeed: nil}); ok {
		t.Errorf("a VF is no uplink: %+v", other)
	}
}

// TestManyDevicesAreSeveralSlices: the API server takes no more than 64 devices in a slice that may have taints.
func TestManyDevicesAreSeveralSlices(t *testing.T) {
	for count, want := range map[int][]int{0: {0}, 64: {64}, 65: {64, 1}, 150: {64, 64, 22}} {
		var n Node
		for i := range count {
			n.Devices = append(n.Devices, vfDevice(i))
		}
		var got []int
		for _, slice := range resources("node", n).Pools["node"].Slices {
			got = append(got, len(slice.Devices))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d devices (-want +got):\n%s", count, diff)
		}
	}
}
