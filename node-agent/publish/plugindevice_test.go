package publish

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// TestDeviceOfPlugins: the device of a device plugin is in the attachment's status, and in network-status as the plugins told it, or as far
// as its ID tells.
func TestDeviceOfPlugins(t *testing.T) {
	told := &netstatus.DeviceInfo{Type: "vdpa", Version: "1.1.0", VDPA: []byte(`{"driver":"vhost"}`)}
	for name, c := range map[string]struct {
		device plan.PluginDevice
		pci    string
		told   *netstatus.DeviceInfo
		status string
	}{
		"a PCI device":       {device: plan.PluginDevice{Resource: "intel.com/nic", Index: 1, ID: "0000:3b:00.2"}, pci: "0000:3b:00.2", status: `"pci-address": "0000:3b:00.2"`},
		"told by plugins":    {device: plan.PluginDevice{Resource: "intel.com/nic", ID: "0000:3b:00.2"}, pci: "0000:3b:00.2", told: told, status: `"driver": "vhost"`},
		"something else":     {device: plan.PluginDevice{Resource: "intel.com/nic", ID: "mlx5_core.sf.4"}},
		"nearly PCI":         {device: plan.PluginDevice{Resource: "intel.com/nic", ID: "0000:3b:00.2-vhost"}},
		"something, as told": {device: plan.PluginDevice{Resource: "intel.com/nic", ID: "nic-1"}, told: told, status: `"type": "vdpa"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := attachedReport()
			i := &r.Interfaces[0]
			i.Plan.Macvlan, i.Plan.CNI, i.DeviceInfo = nil, &plan.CNI{Config: "{}", Device: &c.device}, c.told
			i.Plan.Device = plan.Device{Name: "cni", PCIAddress: c.device.PCIAddress()}
			want := v1alpha1.AttachedDevice{Kind: v1alpha1.DeviceKindCNI, Name: "cni", PCIAddress: c.pci, ResourceName: "intel.com/nic", DeviceID: c.device.ID}
			if diff := cmp.Diff(want, device(*i)); diff != "" {
				t.Errorf("status.device (-want +got):\n%s", diff)
			}
			written, err := annotations(r, "default")
			if err != nil {
				t.Fatal(err)
			}
			status := written[v1alpha1.AnnotationNetworkStatus]
			if !strings.Contains(status, c.status) || strings.Contains(status, "device-info") != (c.status != "") {
				t.Errorf("network-status lacks %s:\n%s", c.status, status)
			}
		})
	}
}
