package plan

// VF is set for attachments that are an SR-IOV virtual function.
type VF struct {
	// PCIAddress of the VF, such as "0000:01:10.0". It identifies the VF: names and indexes of interfaces change.
	PCIAddress string `json:"pciAddress"`
	// PF is the interface name of the physical function, Index the VF's number on it.
	PF    string `json:"pf"`
	Index int    `json:"index"`
	// Settings that the Network asks for.
	Settings VFSettings `json:"settings"`
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
