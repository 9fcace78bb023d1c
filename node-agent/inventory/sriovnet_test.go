package inventory

import (
	"os"
	"slices"
	"testing"

	"github.com/k8snetworkplumbingwg/sriovnet"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// What we read of real VFs is what the library reads of them that other SR-IOV plugins use.
func TestSRIOVInventoryIsThatOfSriovnet(t *testing.T) {
	pfs := kerneltest.RequirePFs(t, 2, "an inventory of real VFs")
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	for _, pf := range pfs {
		kerneltest.VF(t, node, pf, 0)
	}
	devices, err := Read(os.DirFS("/sys"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	vfs := map[string][]string{}
	for _, d := range devices {
		if d.Kind != v1alpha1.DeviceKindVF {
			continue
		}
		vfs[d.PF] = append(vfs[d.PF], d.PCIAddress)
		index, err := sriovnet.GetVfIndexByPciAddress(d.PCIAddress)
		if err != nil || index != d.VFIndex {
			t.Errorf("%s is VF %d, sriovnet has %d, %v", d.PCIAddress, d.VFIndex, index, err)
		}
		pf, err := sriovnet.GetPfPciFromVfPci(d.PCIAddress)
		if err != nil || pf != d.PFAddress {
			t.Errorf("%s is of PF %s, sriovnet has %s, %v", d.PCIAddress, d.PFAddress, pf, err)
		}
		uplinks, err := sriovnet.GetNetDevicesFromPci(pf)
		if err != nil || !slices.Equal(uplinks, []string{d.PF}) {
			t.Errorf("%s is of interface %s, sriovnet has %q, %v", d.PCIAddress, d.PF, uplinks, err)
		}
		if name, err := sriovnet.GetVfRepresentor(d.PF, d.VFIndex); err == nil || d.Switchdev {
			t.Errorf("%s has representor %q and switchdev mode %v; igb has no such mode", d.PCIAddress, name, d.Switchdev)
		}
	}
	for _, pf := range pfs {
		handle, err := sriovnet.GetPfNetdevHandle(pf)
		if err != nil {
			t.Fatal(err)
		}
		var theirs []string
		for _, vf := range handle.List {
			theirs = append(theirs, vf.PciAddress)
		}
		slices.Sort(theirs)
		slices.Sort(vfs[pf])
		if len(theirs) != 7 || !slices.Equal(theirs, vfs[pf]) {
			t.Errorf("PF %s has VFs %q, sriovnet has %q", pf, vfs[pf], theirs)
		}
	}
}
