package dra

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// The scheduler sees no difference between a NIC on the node and one that a pod has, so that what it has given away stays so.
func TestLentNICIsOfferedAsBefore(t *testing.T) {
	numa := 1
	config, err := inventory.ParseConfig([]byte("uplinks: [{name: eth1, bandwidth: 10G, overcommit: 2}]"))
	if err != nil {
		t.Fatal(err)
	}
	home := []inventory.Device{
		{
			Name: "uplink-ens1", Kind: v1alpha1.DeviceKindUplink, Interface: "ens1", Driver: "mlx5_core", Vendor: "0x15b3", PCIAddress: "0000:3b:00.1",
			PCIeRoot: "pci0000:3a", NUMANode: &numa, LinkSpeed: 25e9, Bandwidth: 25e9, Promised: 25e9, Carrier: true, MAC: "04:3f:72:00:00:01", MTU: 9000,
		},
		{
			Name: "uplink-eth1", Kind: v1alpha1.DeviceKindUplink, Interface: "eth1", LinkSpeed: 10e9, Bandwidth: 10e9, Promised: 20e9, Carrier: true,
			MAC: "02:00:00:00:00:01", MTU: 1500,
		},
	}
	var lent []plan.Attachment
	for _, device := range home {
		var mac plan.HardwareAddr
		if err := mac.UnmarshalText([]byte(device.MAC)); err != nil {
			t.Fatal(err)
		}
		lent = append(lent, plan.Attachment{Device: planDevice(device), HostDevice: &plan.HostDevice{
			Interface: device.Interface, Before: &plan.NICState{MAC: mac, MTU: device.MTU},
		}})
	}
	if diff := cmp.Diff(home, inventory.WithLent(nil, config, lent)); diff != "" {
		t.Errorf("away they differ (-home +away):\n%s", diff)
	}
	back := []inventory.Device{{Name: "uplink-ens1", MTU: 1400}, {Name: "uplink-eth1", MTU: 1400}}
	if diff := cmp.Diff(back, inventory.WithLent(back, config, lent)); diff != "" {
		t.Errorf("what is on the node counts (-node +got):\n%s", diff)
	}
}

func TestDirtyNICIsNotOffered(t *testing.T) {
	nic := inventory.Device{Name: "uplink-eth1", Kind: v1alpha1.DeviceKindUplink, Interface: "eth1", Carrier: true, MTU: 1500}
	d := NewDevices(func() (Node, error) { return Node{Devices: []inventory.Device{nic}}, nil })
	if !d.SetDirty("eth1", "mtu-is-1400") {
		t.Error("no change")
	}
	if _, err := d.Refresh(); err != nil {
		t.Fatal(err)
	}
	got := resources("n1", d.Node()).Pools["n1"].Slices[0].Devices[0].Taints
	want := []resourceapi.DeviceTaint{{Key: TaintDirty, Value: "mtu-is-1400", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
