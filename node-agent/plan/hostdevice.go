package plan

import (
	"fmt"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// HostDevice is a NIC of the node that the pod has for itself.
type HostDevice struct {
	// Interface is its name on the node; that of a VF is known when it is written down what the VF is like.
	Interface string `json:"interface,omitempty"`
	// Before is what it was like, to be restored when the pod goes.
	Before *NICState `json:"before,omitempty"`
}

// NICState is all of a NIC that an attachment can change, or the pod that has it. It is read before the attachment and restored
// after it, and written down in between.
type NICState struct {
	// Boot is the boot ID of the kernel. After another boot the NIC is as the node has made it.
	Boot string `json:"boot"`

	Interface string `json:"interface"`
	// Kind is that of virtual links, such as "bond", or "device"; Parent is the hardware behind it, such as "pci/0000:3b:00.1", empty for
	// none. By both the NIC is told from links that a pod makes.
	Kind   string `json:"kind"`
	Parent string `json:"parent,omitempty"`

	MAC           HardwareAddr `json:"mac"`
	MTU           int          `json:"mtu"`
	TxQueueLength int          `json:"txQueueLength"`
	Alias         string       `json:"alias,omitempty"`
	Up            bool         `json:"up,omitempty"`
	Promiscuous   bool         `json:"promiscuous,omitempty"`
	AllMulticast  bool         `json:"allMulticast,omitempty"`
	XDP           bool         `json:"xdp,omitempty"`
}

// Differences returns one clause for each attribute of now that is not as it was in s.
func (s NICState) Differences(now NICState) (clauses []string) {
	differ := differences(&clauses)
	differ("interface", s.Interface, now.Interface)
	differ("mac", s.MAC.String(), now.MAC.String())
	differ("mtu", s.MTU, now.MTU)
	differ("txqueuelen", s.TxQueueLength, now.TxQueueLength)
	differ("alias", s.Alias, now.Alias)
	differ("link", s.Up, now.Up)
	differ("promiscuous mode", s.Promiscuous, now.Promiscuous)
	differ("all multicast", s.AllMulticast, now.AllMulticast)
	differ("XDP program", s.XDP, now.XDP)
	return clauses
}

const nicMark = "multinet.dev/nic/"

// NICMark is the alias of a NIC as long as it is a pod's: by it the NIC is found again under whatever name, in the pod or where the
// kernel has put it when the pod's namespace ended.
func NICMark(nic string) string { return nicMark + nic }

// MarkedNIC returns the name that the NIC with an alias had on the node, and false where the alias is no mark.
func MarkedNIC(alias string) (nic string, marked bool) {
	nic, marked = strings.CutPrefix(alias, nicMark)
	if !marked {
		return "", false
	}
	return nic, true
}

// Lent is what of the node the attachment has for itself and gives back: the PCI address of a VF, the name of a NIC, or "".
func (a Attachment) Lent() string {
	switch {
	case a.VF != nil:
		return a.VF.PCIAddress
	case a.HostDevice != nil && a.HasVF():
		return a.Device.PCIAddress
	case a.HostDevice != nil:
		return a.HostDevice.Interface
	}
	return ""
}

// HasVF tells whether the attachment has a VF for itself, with the settings of a Network or as it is.
func (a Attachment) HasVF() bool { return a.VF != nil || a.HostDevice != nil && a.Device.PF != "" }

// LentName is Lent for people.
func (a Attachment) LentName() string {
	switch {
	case a.VF != nil:
		return fmt.Sprintf("VF %d of PF %s (%s)", a.VF.Index, a.VF.PF, a.VF.PCIAddress)
	case a.HasVF():
		return fmt.Sprintf("VF %d of PF %s (%s)", a.Device.VFIndex, a.Device.PF, a.Device.PCIAddress)
	}
	return "NIC " + a.Lent()
}

// RecordedOn is the boot ID under which it was written down what the attachment has of the node, "" where nothing was: then
// nothing was done to it.
func (a Attachment) RecordedOn() string {
	switch {
	case a.Before != nil:
		return a.Before.Boot
	case a.HostDevice != nil && a.HostDevice.Before != nil:
		return a.HostDevice.Before.Boot
	}
	return ""
}

// WithRecordOf takes over what another plan for the same interface has written down.
func (a Attachment) WithRecordOf(former Attachment) Attachment {
	a.Before = former.Before
	if a.HostDevice != nil && former.HostDevice != nil {
		return a.WithNICState(former.HostDevice.Before)
	}
	return a
}

// WithNICState has the NIC keep its MAC, unless the pod has asked for another. before may be nil.
func (a Attachment) WithNICState(before *NICState) Attachment {
	device := *a.HostDevice
	device.Before, a.HostDevice = before, &device
	if before == nil {
		return a
	}
	device.Interface = before.Interface
	if len(a.MAC) == 0 {
		a.MAC = before.MAC
	}
	return a
}

func (b *builder) hostDevice(spec *v1alpha1.PodNetworkAttachmentSpec, device Device) *HostDevice {
	b.check(spec.HostDevice != nil, "spec.hostDevice", "", "is missing")
	b.check(spec.QoS == nil, "spec.qos", "", "cannot be had with a NIC that the pod has alone")
	return &HostDevice{Interface: device.Uplink}
}
