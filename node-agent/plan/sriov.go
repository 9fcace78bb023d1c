package plan

import (
	"fmt"
	"strings"
)

// VF is set for attachments that are an SR-IOV virtual function.
type VF struct {
	// PCIAddress of the VF, such as "0000:01:10.0". It identifies the VF: names and indexes of interfaces change.
	PCIAddress string `json:"pciAddress"`
	// PF is the interface name of the physical function, Index the VF's number on it.
	PF    string `json:"pf"`
	Index int    `json:"index"`
	// Settings that the Network asks for.
	Settings VFSettings `json:"settings"`
	// QoS is set where the attachment has a QoSClass.
	QoS *VFQoS `json:"qos,omitempty"`
	// VFIO gives the device to the containers instead of an interface.
	VFIO bool `json:"vfio,omitempty"`
	// RDMA moves the RDMA device along.
	RDMA bool `json:"rdma,omitempty"`
}

// VFSettings are what a PF is told about its VF. What is nil is left as it is.
type VFSettings struct {
	// VLAN is 0 for untagged; VLANQoS is its 802.1p priority; VLANProto is "802.1q" or "802.1ad".
	VLAN      *int   `json:"vlan,omitempty"`
	VLANQoS   *int   `json:"vlanQoS,omitempty"`
	VLANProto string `json:"vlanProto,omitempty"`

	SpoofCheck *bool `json:"spoofCheck,omitempty"`
	Trust      *bool `json:"trust,omitempty"`
	// LinkState is "auto", "enable", "disable", or empty.
	LinkState string `json:"linkState,omitempty"`
	// MinTxRate and MaxTxRate in Mbit/s, the unit of the kernel; 0 is no limit.
	MinTxRate *int `json:"minTxRate,omitempty"`
	MaxTxRate *int `json:"maxTxRate,omitempty"`
}

// VFState is all of a VF that an attachment can change, or the pod that has it. It is read before the attachment and
// restored after it, and written down in between; it is comparable.
type VFState struct {
	// Boot is the boot ID of the kernel. After another boot all VFs are new, and what they were before says nothing.
	Boot string `json:"boot"`

	// Driver of the VF, empty for none; DriverOverride binds the VF to one driver alone.
	Driver         string `json:"driver,omitempty"`
	DriverOverride string `json:"driverOverride,omitempty"`
	// RDMA devices that the node sees, separated by commas.
	RDMA string `json:"rdma,omitempty"`

	// Interface is the name on the node, empty where the driver makes none. What follows is the interface's.
	Interface     string `json:"interface,omitempty"`
	MAC           string `json:"mac,omitempty"`
	MTU           int    `json:"mtu,omitempty"`
	TxQueueLength int    `json:"txQueueLength,omitempty"`
	Alias         string `json:"alias,omitempty"`
	Promiscuous   bool   `json:"promiscuous,omitempty"`
	AllMulticast  bool   `json:"allMulticast,omitempty"`
	XDP           bool   `json:"xdp,omitempty"`

	// AdminMAC and what follows is what the PF has been told of its VF. Drivers tell a MAC that the VF has chosen here too.
	AdminMAC   string `json:"adminMAC"`
	VLAN       int    `json:"vlan"`
	VLANQoS    int    `json:"vlanQoS"`
	VLANProto  string `json:"vlanProto"`
	SpoofCheck bool   `json:"spoofCheck"`
	Trust      bool   `json:"trust"`
	LinkState  string `json:"linkState"`
	MinTxRate  int    `json:"minTxRate"`
	MaxTxRate  int    `json:"maxTxRate"`
}

// NoMAC is the MAC of a VF of which the PF has been told none.
const NoMAC = "00:00:00:00:00:00"

// Differences returns one clause for each attribute of now that is not as it was in s.
func (s VFState) Differences(now VFState) (clauses []string) {
	differ := differences(&clauses)
	differ("driver", s.Driver, now.Driver)
	differ("driver_override", s.DriverOverride, now.DriverOverride)
	// Their names change when the driver is bound anew.
	differ("number of RDMA devices", words(s.RDMA), words(now.RDMA))
	differ("interface", s.Interface, now.Interface)
	differ("mac", s.MAC, now.MAC)
	differ("mtu", s.MTU, now.MTU)
	differ("txqueuelen", s.TxQueueLength, now.TxQueueLength)
	differ("alias", s.Alias, now.Alias)
	differ("promiscuous mode", s.Promiscuous, now.Promiscuous)
	differ("all multicast", s.AllMulticast, now.AllMulticast)
	differ("XDP program", s.XDP, now.XDP)
	differ("MAC on the PF", s.effectiveAdminMAC(), now.effectiveAdminMAC())
	differ("vlan", s.VLAN, now.VLAN)
	differ("vlanQoS", s.VLANQoS, now.VLANQoS)
	differ("vlanProto", s.VLANProto, now.VLANProto)
	differ("spoofCheck", s.SpoofCheck, now.SpoofCheck)
	differ("trust", s.Trust, now.Trust)
	differ("linkState", s.LinkState, now.LinkState)
	differ("minTxRate", s.MinTxRate, now.MinTxRate)
	differ("maxTxRate", s.MaxTxRate, now.MaxTxRate)
	return clauses
}

// differences returns a function that adds a clause for an attribute that is not as it was.
func differences(clauses *[]string) func(name string, was, is any) {
	return func(name string, was, is any) {
		if was != is {
			*clauses = append(*clauses, fmt.Sprintf("%s is %s instead of %s", name, printed(is), printed(was)))
		}
	}
}

// effectiveAdminMAC takes a PF that has been told no MAC for one that knows the MAC which the VF has chosen: drivers go
// from the first to the second by themselves, when the VF comes up.
func (s VFState) effectiveAdminMAC() string {
	if s.AdminMAC == s.MAC && s.MAC != "" {
		return NoMAC
	}
	return s.AdminMAC
}

func words(list string) int {
	return len(strings.FieldsFunc(list, func(r rune) bool { return r == ',' }))
}

func printed(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case bool:
		if v {
			return "on"
		}
		return "off"
	}
	return fmt.Sprint(value)
}
