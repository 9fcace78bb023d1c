package delegate

import (
	"fmt"

	"github.com/containernetworking/cni/libcni"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Keys by which Multus tells plugins of their device: sriov reads the first in its configuration, host-device as an argument of a
// capability, or the second. The third is a file of device-info, for plugins that declare this capability.
const (
	keyDeviceID   = "deviceID"
	keyPCIBusID   = "pciBusID"
	keyDeviceInfo = "CNIDeviceInfoFile"
)

// addDevice puts the ID of the device into the configuration of each plugin.
func addDevice(list *libcni.NetworkConfigList, device *plan.PluginDevice) error {
	if device == nil {
		return nil
	}
	keys := map[string]any{keyDeviceID: device.ID}
	if address := device.PCIAddress(); address != "" {
		keys[keyPCIBusID] = address
	}
	for i, plugin := range list.Plugins {
		with, err := libcni.InjectConf(plugin, keys)
		if err != nil {
			return fmt.Errorf("plugin %q: the ID of its device: %w", plugin.Network.Type, err)
		}
		list.Plugins[i] = with
	}
	return nil
}

// capabilities are arguments of which libcni gives each plugin those whose names it declares.
func (p *Plugins) capabilities(r Record) map[string]any {
	arguments := map[string]any{keyDeviceInfo: p.DeviceInfo.OfInterface(r.Sandbox, r.Network, r.Interface)}
	if r.Device != nil {
		arguments[keyDeviceID] = r.Device.ID
	}
	for capability, argument := range r.Capabilities {
		arguments[capability] = argument
	}
	return arguments
}

// attachment is as much of the plan as a record has.
func (r Record) attachment() plan.Attachment {
	return plan.Attachment{Network: r.Network, Interface: r.Interface, CNI: &r.CNI}
}
