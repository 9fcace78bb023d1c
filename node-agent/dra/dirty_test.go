package dra

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// TestDirtyVFIsTainted: the scheduler is told with the next reading, of that VF alone, until it is clean.
func TestDirtyVFIsTainted(t *testing.T) {
	down := vfDevice(4)
	down.Carrier = false
	d := NewDevices(func() (Node, error) { return Node{Devices: []inventory.Device{vfDevice(3), down}}, nil })
	taints := func() map[string][]string {
		t.Helper()
		all := map[string][]string{}
		for _, slice := range resources("node", d.Node()).Pools["node"].Slices {
			for _, device := range slice.Devices {
				for _, taint := range device.Taints {
					if taint.Effect != resourceapi.DeviceTaintEffectNoSchedule {
						t.Errorf("effect %s would end pods", taint.Effect)
					}
					all[device.Name] = append(all[device.Name], taint.Key+"="+taint.Value)
				}
			}
		}
		return all
	}
	refresh := func(want bool) {
		t.Helper()
		if changed, err := d.Refresh(); err != nil || changed != want {
			t.Errorf("changed %v, error %v", changed, err)
		}
	}
	refresh(true)
	clean := map[string][]string{"vf-0000-01-10-4": {"multinet.dev/no-carrier="}}
	if diff := cmp.Diff(clean, taints()); diff != "" {
		t.Error(diff)
	}
	if !d.SetDirty("0000:01:10.4", "the-vlan-is-7") || d.SetDirty("0000:01:10.4", "the-vlan-is-7") {
		t.Error("a change is told otherwise than once")
	}
	refresh(true)
	refresh(false)
	dirty := map[string][]string{"vf-0000-01-10-4": {"multinet.dev/no-carrier=", "multinet.dev/dirty=the-vlan-is-7"}}
	if diff := cmp.Diff(dirty, taints()); diff != "" {
		t.Error(diff)
	}
	if !d.SetDirty("0000:01:10.4", "") || d.SetDirty("0000:01:10.3", "") {
		t.Error("a change is not told of, or one that is none")
	}
	refresh(true)
	if diff := cmp.Diff(clean, taints()); diff != "" {
		t.Error(diff)
	}
}

func TestVFs(t *testing.T) {
	uplink := inventory.Device{Name: "uplink-ens9", Kind: "Uplink", Interface: "ens9", Carrier: true}
	down := vfDevice(4)
	down.Carrier = false
	d := NewDevices(func() (Node, error) { return Node{Devices: []inventory.Device{uplink, vfDevice(3), down}}, nil })
	if _, err := d.Refresh(); err != nil {
		t.Fatal(err)
	}
	vfs := d.VFs()
	if len(vfs) != 2 || vfs[0].VFIndex != 3 || vfs[1].VFIndex != 4 {
		t.Fatalf("VFs %+v", vfs)
	}
	if !d.Carrier(vfs[0]) || d.Carrier(vfs[1]) || d.Carrier(plan.Device{Name: "vf-gone"}) {
		t.Error("the carrier of one VF is taken for that of another")
	}
}
