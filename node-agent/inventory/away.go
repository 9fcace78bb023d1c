package inventory

import (
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// WithLent adds the NICs that pods have, as they were on the node: who took them off the list would tell the scheduler that the
// device which it has given to a pod does not exist. They are taken to have a carrier, which the pods see alone. What is on the node
// under the name of one counts instead.
func WithLent(devices []Device, config Config, lent []plan.Attachment) []Device {
	for _, a := range lent {
		if slices.ContainsFunc(devices, func(d Device) bool { return d.Name == a.Device.Name }) {
			continue
		}
		devices = append(devices, away(config, a))
	}
	return devices
}

func away(config Config, a plan.Attachment) Device {
	d, before := a.Device, a.HostDevice.Before
	device := Device{
		Name: d.Name, Kind: v1alpha1.DeviceKindUplink, Interface: d.Uplink, Driver: d.Driver, Vendor: d.Vendor,
		PCIAddress: d.PCIAddress, PCIeRoot: d.PCIeRoot, LinkSpeed: d.LinkSpeed,
		Carrier: true, MAC: before.MAC.String(), MTU: before.MTU,
	}
	if d.NUMANode != nil {
		node := int(*d.NUMANode)
		device.NUMANode = &node
	}
	entry, _, _ := config.match(d.Uplink)
	device.offer(entry)
	return device
}
