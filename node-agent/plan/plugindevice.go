package plan

import "regexp"

// PluginDevice is a device of a device plugin, which the kubelet has given to a container of the pod, for the CNI plugins.
type PluginDevice struct {
	// Resource is the extended resource, Index which of the pod's devices of it this one is, from 0.
	Resource string `json:"resource"`
	Index    int    `json:"index"`
	// ID is what the device plugin calls the device: its PCI address, as a rule.
	ID string `json:"id"`
}

var pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)

// PCIAddress is the device's, empty where its ID is something else.
func (d PluginDevice) PCIAddress() string {
	if !pciAddress.MatchString(d.ID) {
		return ""
	}
	return d.ID
}
