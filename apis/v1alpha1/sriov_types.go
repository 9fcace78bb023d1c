package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// SRIOVSpec configures a Network of type SRIOV: each pod gets a virtual function (VF) of a NIC for itself. What a NIC
// cannot do is refused when the pod starts, with the name of the setting. Changes apply to new pods.
//
// +kubebuilder:validation:XValidation:rule="self.?vlan == oldSelf.?vlan",message="spec.sriov.vlan is immutable: pods of two VLANs would share one address range"
// +kubebuilder:validation:XValidation:rule="has(self.vlan) || !has(self.vlanQoS) && !has(self.vlanProto)",message="vlanQoS and vlanProto need vlan"
// +kubebuilder:validation:XValidation:rule="!has(self.minTxRate) || !has(self.maxTxRate) || !quantity(string(self.minTxRate)).isGreaterThan(quantity(string(self.maxTxRate)))",message="minTxRate must not be greater than maxTxRate"
// +kubebuilder:validation:XValidation:rule="self.?deviceType.orValue('NetDevice') == 'NetDevice' || !self.?rdma.orValue(false)",message="rdma needs deviceType NetDevice: an RDMA device belongs to a kernel driver"
type SRIOVSpec struct {
	// device selects the VFs.
	// +required
	Device VFSelector `json:"device"`

	// vlan is the tag that the NIC adds and removes, unseen by the pod. Unset sends untagged.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	// +optional
	VLAN *int32 `json:"vlan,omitempty"`

	// vlanQoS is the 802.1p priority in that tag.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=7
	// +optional
	VLANQoS *int32 `json:"vlanQoS,omitempty"`

	// vlanProto is the protocol of that tag, 802.1q unless set.
	// +optional
	VLANProto VLANProtocol `json:"vlanProto,omitempty"`

	// spoofCheck has the NIC drop frames with another source address than the VF's. Unset is on.
	// +kubebuilder:default=true
	// +optional
	SpoofCheck *bool `json:"spoofCheck,omitempty"`

	// trust lets the pod change its MAC and be promiscuous. Unset is off.
	// +kubebuilder:default=false
	// +optional
	Trust *bool `json:"trust,omitempty"`

	// linkState of the VF: Auto follows that of the NIC. Unset leaves it to the driver.
	// +optional
	LinkState VFLinkState `json:"linkState,omitempty"`

	// minTxRate that the NIC guarantees, in bit/s and whole Mbit/s, for example 100M.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="minTxRate must be greater than 0"
	// +optional
	MinTxRate *resource.Quantity `json:"minTxRate,omitempty"`

	// maxTxRate that the NIC lets through, in bit/s and whole Mbit/s, for example 1G.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxTxRate must be greater than 0"
	// +optional
	MaxTxRate *resource.Quantity `json:"maxTxRate,omitempty"`

	// deviceType NetDevice gives the pod an interface; VFIO gives its containers the device, for applications that
	// drive it themselves.
	// +kubebuilder:default=NetDevice
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.sriov.deviceType is immutable: create another Network"
	// +optional
	DeviceType VFDeviceType `json:"deviceType,omitempty"`

	// rdma moves the VF's RDMA device into the pod as well.
	// +optional
	RDMA bool `json:"rdma,omitempty"`
}

// VLANProtocol is the protocol of a VLAN tag.
// +kubebuilder:validation:Enum="802.1q";"802.1ad"
type VLANProtocol string

// VFLinkState is the link state of a VF.
// +kubebuilder:validation:Enum=Auto;Enable;Disable
type VFLinkState string

// VFDeviceType is the form in which a pod gets a VF.
// +kubebuilder:validation:Enum=NetDevice;VFIO
type VFDeviceType string

// Forms in which a pod gets a VF.
const (
	VFDeviceTypeNetDevice VFDeviceType = "NetDevice"
	VFDeviceTypeVFIO      VFDeviceType = "VFIO"
)

// VFSelector selects virtual functions that node agents publish. All set fields must match.
// +kubebuilder:validation:XValidation:rule="has(self.pfNames) || has(self.vendor) || has(self.device) || has(self.driver) || has(self.minLinkSpeed) || has(self.numaNode) || has(self.expression)",message="a VF selector must set at least one field"
type VFSelector struct {
	// pfNames are interface names of the physical functions; one of them must match.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	PFNames []InterfaceName `json:"pfNames,omitempty"`

	// vendor is the PCI vendor identifier, for example 0x8086.
	// +kubebuilder:validation:Pattern=`^0x[0-9a-f]{4}$`
	// +optional
	Vendor string `json:"vendor,omitempty"`

	// device is the PCI device identifier of the VF, for example 0x10ca.
	// +kubebuilder:validation:Pattern=`^0x[0-9a-f]{4}$`
	// +optional
	Device string `json:"device,omitempty"`

	// driver of the physical function, for example igb or mlx5_core.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Driver string `json:"driver,omitempty"`

	// minLinkSpeed of the physical function in bit/s, for example 25G.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="minLinkSpeed must be greater than 0"
	// +optional
	MinLinkSpeed *resource.Quantity `json:"minLinkSpeed,omitempty"`

	// numaNode that the device belongs to.
	// +kubebuilder:validation:Minimum=0
	// +optional
	NUMANode *int32 `json:"numaNode,omitempty"`

	// expression is CEL over the DRA device for what the other fields cannot say, for example
	// device.attributes["multinet.dev"].vfIndex < 4.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Expression string `json:"expression,omitempty"`
}
