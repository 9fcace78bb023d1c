package inventory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// virtualFunction makes a VF beside its PF, as the kernel does.
func (m machine) virtualFunction(pf, parent, address string, index int) string {
	vf := m.function(parent, address, "igbvf", "0x8086", "1")
	m.file(vf+"/device", "0x10ca")
	m.link(fmt.Sprintf("%s/virtfn%d", pf, index), vf)
	m.link(vf+"/physfn", pf)
	return vf
}

func virtualFunctions(t *testing.T, m machine) []Device {
	t.Helper()
	return slices.DeleteFunc(read(t, m, ""), func(d Device) bool { return d.Kind != v1alpha1.DeviceKindVF })
}

// Two PFs, of which the one with the later name has the earlier address; the second VF of it is bound to vfio-pci and the
// third to nothing, so that they have no interface.
func TestVirtualFunctions(t *testing.T) {
	m := newMachine()
	m.netdev("", "lo", map[string]string{"type": "772"})
	second := m.function("pci0000:10", "0000:12:00.0", "mlx5_core", "0x15b3", "-1")
	m.netdev(second, "ens1", map[string]string{"speed": "-1", "carrier": "0"})
	vf := m.virtualFunction(second, "pci0000:10", "0000:12:00.1", 0)
	m.folder(vf + "/infiniband/mlx5_3")

	first := m.function("pci0000:00", "0000:01:00.0", "igb", "0x8086", "1")
	m.netdev(first, "ens9", map[string]string{"speed": "1000"})
	m.netdev(m.virtualFunction(first, "pci0000:00", "0000:01:10.0", 0), "ens9v0", nil)
	taken := m.virtualFunction(first, "pci0000:00", "0000:01:10.4", 10)
	m.folder("bus/pci/drivers/vfio-pci")
	m.link(taken+"/driver", "bus/pci/drivers/vfio-pci")
	unbound := m.virtualFunction(first, "pci0000:00", "0000:01:10.2", 2)
	delete(m, unbound+"/driver")

	of := func(address string, index int) Device {
		return Device{
			Kind: v1alpha1.DeviceKindVF, Name: "vf-0000-01-10-" + address[len(address)-1:], PCIAddress: address, PCIeRoot: "pci0000:00",
			PF: "ens9", PFAddress: "0000:01:00.0", Driver: "igb", VFIndex: index, Vendor: "0x8086", DeviceID: "0x10ca", NUMANode: ptr(1),
			LinkSpeed: 1_000_000_000, Carrier: true,
		}
	}
	want := []Device{
		of("0000:01:10.0", 0),
		of("0000:01:10.2", 2),
		of("0000:01:10.4", 10),
		{
			Kind: v1alpha1.DeviceKindVF, Name: "vf-0000-12-00-1", PCIAddress: "0000:12:00.1", PCIeRoot: "pci0000:10",
			PF: "ens1", PFAddress: "0000:12:00.0", Driver: "mlx5_core", Vendor: "0x8086", DeviceID: "0x10ca", NUMANode: ptr(1), RDMADevice: "mlx5_3",
		},
	}
	if diff := cmp.Diff(want, virtualFunctions(t, m)); diff != "" {
		t.Errorf("virtual functions differ (-want +got):\n%s", diff)
	}
}

// In switchdev mode the function has a link for each VF beside its own.
func TestRepresentorsAreNoPhysicalFunctions(t *testing.T) {
	m := newMachine()
	pf := m.function("pci0000:00", "0000:01:00.0", "mlx5_core", "0x15b3", "0")
	m.netdev(pf, "ens1f0np0", map[string]string{"phys_port_name": "p0", "phys_switch_id": "7cfe90"})
	m.netdev(pf, "eth0", map[string]string{"phys_port_name": "pf0vf0"})
	m.netdev(pf, "eth1", map[string]string{"phys_port_name": "c1pf0sf2"})
	m.virtualFunction(pf, "pci0000:00", "0000:01:00.1", 0)
	vfs := virtualFunctions(t, m)
	if len(vfs) != 1 || vfs[0].PF != "ens1f0np0" || !vfs[0].Switchdev {
		t.Errorf("virtual functions %+v, want one of ens1f0np0 in switchdev mode", vfs)
	}
}

// A VF that goes while the machine is read leaves a link to nothing.
func TestVirtualFunctionThatVanishes(t *testing.T) {
	m := newMachine()
	pf := m.function("pci0000:00", "0000:01:00.0", "igb", "0x8086", "0")
	m.netdev(pf, "ens9", nil)
	m.link(pf+"/virtfn0", "devices/pci0000:00/0000:01:10.0")
	if vfs := virtualFunctions(t, m); len(vfs) != 0 {
		t.Errorf("virtual functions %+v, want none", vfs)
	}
}
