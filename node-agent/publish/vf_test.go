package publish

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// The annotation of a VF that has all that can be told of one, to the byte.
func TestNetworkStatusOfVF(t *testing.T) {
	r := vfReport(func(vf *plan.VF) { vf.RDMA = true })
	r.Interfaces[0].Plan.Device.Representor = "eth4"
	written, err := annotations(r, "default")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/network-status-vf.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), written[v1alpha1.AnnotationNetworkStatus]); diff != "" {
		t.Errorf("(-golden +got):\n%s", diff)
	}
}

func vfReport(change func(*plan.VF)) Report {
	r := attachedReport()
	a := &r.Interfaces[0].Plan
	a.VF = &plan.VF{PCIAddress: "0000:01:10.3", PF: "ens9", Index: 3}
	a.Device = plan.Device{Name: "vf-0000-01-10-3", PCIAddress: "0000:01:10.3", PF: "ens9", PFAddress: "0000:01:00.0", VFIndex: 3, Driver: "igb",
		RDMADevice: "rocep0", IOMMUGroup: "12"}
	change(a.VF)
	return r
}

// TestOneDeviceEverywhere: what is said of a VF names one and the same device, and only what the pod has of it.
func TestOneDeviceEverywhere(t *testing.T) {
	index := int32(3)
	base := v1alpha1.AttachedDevice{Kind: v1alpha1.DeviceKindVF, Name: "vf-0000-01-10-3", PCIAddress: "0000:01:10.3", Driver: "igb", PF: "ens9", VFIndex: &index}
	withGroup, withRDMA := base, base
	withGroup.VFIOGroup, withRDMA.RDMADevice = "12", "rocep0"
	for name, test := range map[string]struct {
		change func(*plan.VF)
		device v1alpha1.AttachedDevice
		pci    netstatus.PCIDevice
	}{
		"an interface": {func(*plan.VF) {}, base, netstatus.PCIDevice{Address: "0000:01:10.3", PFAddress: "0000:01:00.0"}},
		"a device":     {func(vf *plan.VF) { vf.VFIO = true }, withGroup, netstatus.PCIDevice{Address: "0000:01:10.3", PFAddress: "0000:01:00.0"}},
		"with RDMA": {func(vf *plan.VF) { vf.RDMA = true }, withRDMA,
			netstatus.PCIDevice{Address: "0000:01:10.3", PFAddress: "0000:01:00.0", RDMADevice: "rocep0"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := vfReport(test.change)
			if diff := cmp.Diff(test.device, device(r.Interfaces[0])); diff != "" {
				t.Errorf("status.device (-want +got):\n%s", diff)
			}
			written, err := annotations(r, "default")
			if err != nil {
				t.Fatal(err)
			}
			list, err := netstatus.Decode(written[v1alpha1.AnnotationNetworkStatus])
			if err != nil {
				t.Fatal(err)
			}
			want := &netstatus.DeviceInfo{Type: "pci", Version: "1.1.0", PCI: &test.pci}
			if diff := cmp.Diff(want, list[1].DeviceInfo); diff != "" || list[0].DeviceInfo != nil {
				t.Errorf("device-info (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVFThatIsGivenAsItIs(t *testing.T) {
	r := vfReport(func(*plan.VF) {})
	a := &r.Interfaces[0].Plan
	a.VF, a.HostDevice = nil, &plan.HostDevice{Interface: "ens9v3"}
	index := int32(3)
	want := v1alpha1.AttachedDevice{Kind: v1alpha1.DeviceKindVF, Name: "vf-0000-01-10-3", PCIAddress: "0000:01:10.3", Driver: "igb", PF: "ens9", VFIndex: &index}
	if diff := cmp.Diff(want, device(r.Interfaces[0])); diff != "" {
		t.Errorf("status.device (-want +got):\n%s", diff)
	}
}

func TestUplinkHasNoDeviceInfo(t *testing.T) {
	written, err := annotations(attachedReport(), "default")
	if err != nil {
		t.Fatal(err)
	}
	list, err := netstatus.Decode(written[v1alpha1.AnnotationNetworkStatus])
	if err != nil || list[1].DeviceInfo != nil {
		t.Errorf("the uplink is shared and no device of the pod: %+v, %v", list, err)
	}
}
