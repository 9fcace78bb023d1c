package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodNetworkAttachment is one interface of one pod, and the record of its addresses.
//
// spec is written by the operator and is a complete order: the node agent needs no other object. It is written once, apart
// from the values of spec.qos, which follow the QoSClass while the pod runs, and from spec.detach.
// status is written by the node agent alone. An address is free again when this object is gone, and the
// object goes only when the agent has taken its finalizer away.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=pna,categories=multinet
// +kubebuilder:selectablefield:JSONPath=`.spec.nodeName`
// +kubebuilder:selectablefield:JSONPath=`.spec.networkName`
// +kubebuilder:selectablefield:JSONPath=`.spec.pod.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.rackLocal.rack`
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.spec.pod.name`
// +kubebuilder:printcolumn:name="Network",type=string,JSONPath=`.spec.networkName`
// +kubebuilder:printcolumn:name="Interface",type=string,JSONPath=`.spec.interface`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.addresses[0].address`
// +kubebuilder:printcolumn:name="Address-2",type=string,JSONPath=`.spec.addresses[1].address`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Rack",type=string,JSONPath=`.spec.rackLocal.rack`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="MAC",type=string,priority=1,JSONPath=`.status.mac`
// +kubebuilder:printcolumn:name="Uplink",type=string,priority=1,JSONPath=`.status.device.uplink`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="QoS",type=string,priority=1,JSONPath=`.spec.qos.className`
// +kubebuilder:printcolumn:name="QoS-Enforced",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="QoSEnforced")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PodNetworkAttachment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="has(self.podClaimName) == has(oldSelf.podClaimName) && has(self.request) == has(oldSelf.request) && has(self.macvlan) == has(oldSelf.macvlan) && has(self.sriov) == has(oldSelf.sriov) && has(self.rackLocal) == has(oldSelf.rackLocal) && has(self.hostDevice) == has(oldSelf.hostDevice) && has(self.cni) == has(oldSelf.cni) && has(self.resourceIndex) == has(oldSelf.resourceIndex) && has(self.cniArguments) == has(oldSelf.cniArguments) && has(self.mac) == has(oldSelf.mac) && has(self.mtu) == has(oldSelf.mtu) && has(self.addresses) == has(oldSelf.addresses) && has(self.routes) == has(oldSelf.routes) && has(self.defaultRoutes) == has(oldSelf.defaultRoutes) && has(self.choice) == has(oldSelf.choice)",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	// +kubebuilder:validation:XValidation:rule="has(self.qos) == has(oldSelf.qos)",message="spec.qos is of one QoSClass for ever: only its values change"
	// +required
	Spec PodNetworkAttachmentSpec `json:"spec"`
	// +optional
	Status PodNetworkAttachmentStatus `json:"status,omitempty"`
}

// PodNetworkAttachmentList is a list of PodNetworkAttachments.
// +kubebuilder:object:root=true
type PodNetworkAttachmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PodNetworkAttachment `json:"items"`
}

// PodNetworkAttachmentSpec is the order for one interface. All of it is resolved: a later change of the
// Network does not reach a running pod, and one of the QoSClass does by qos.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'HostDevice' || has(self.mac) != has(self.cni)",message="spec.mac must be set exactly where spec.cni is not; with type HostDevice it may be"
// +kubebuilder:validation:XValidation:rule="!has(self.cniArguments) || has(self.cni)",message="spec.cniArguments are for CNI plugins, and spec.cni is not set"
// +kubebuilder:validation:XValidation:rule="has(self.resourceIndex) == (has(self.cni) && has(self.cni.resourceName))",message="spec.resourceIndex must be set exactly where spec.cni.resourceName is"
type PodNetworkAttachmentSpec struct {
	// pod that gets the interface.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Pod PodReference `json:"pod"`

	// networkName is the Network that was selected, or that the scheduler chose.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	NetworkName string `json:"networkName"`

	// nodeName is the node that the pod is bound to.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	NodeName string `json:"nodeName"`

	// interface is its name in the pod.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Interface InterfaceName `json:"interface"`

	// podClaimName is the entry of the pod's spec.resourceClaims that carries this attachment, empty
	// where the pod has none; then the agent chooses the device by itself.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	PodClaimName string `json:"podClaimName,omitempty"`

	// request is the name of the request in that claim whose device carries this attachment. Of a request with
	// firstAvailable it is the name of the request, not of the alternative that was allocated.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Request string `json:"request,omitempty"`

	// type of the Network.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Type NetworkType `json:"type"`

	// macvlan is the Network's configuration for type Macvlan.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Macvlan *MacvlanSpec `json:"macvlan,omitempty"`

	// sriov is the Network's configuration for type SRIOV.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	SRIOV *SRIOVSpec `json:"sriov,omitempty"`

	// rackLocal is the rack's part of the Network for type RackLocal.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	RackLocal *AttachmentRack `json:"rackLocal,omitempty"`

	// hostDevice is the Network's configuration for type HostDevice.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	HostDevice *HostDeviceSpec `json:"hostDevice,omitempty"`

	// cni is the Network's configuration for type CNI. Addresses, routes and MAC are those that the plugins choose; status has
	// what they are.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	CNI *CNISpec `json:"cni,omitempty"`

	// cniArguments are what the pod asks of the plugins, where the Network has the type CNI.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	CNIArguments *CNIArguments `json:"cniArguments,omitempty"`

	// resourceIndex is which of the pod's devices of spec.cni.resourceName the plugins get, from 0. It is set exactly where
	// that is.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	ResourceIndex *int32 `json:"resourceIndex,omitempty"`

	// mtu in bytes; unset takes over that of the uplink, or of the node's interface less the encapsulation.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	MTU *int32 `json:"mtu,omitempty"`

	// mac of the interface: that of the pod's AddressClaim, else derived from the Network's name and the first address,
	// so that a reused address keeps its MAC. It is unset with type CNI, and with type HostDevice unless the pod asks for one.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	MAC string `json:"mac,omitempty"`

	// addresses, at most one of each family.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Addresses []AttachmentAddress `json:"addresses,omitempty"`

	// routes with their next hop resolved.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Routes []Route `json:"routes,omitempty"`

	// defaultRoutes are the gateways by which the pod's default routes go, through this interface: at most one of each family. The
	// default routes that the pod's other interfaces have in the family are set aside until the interface goes.
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=39
	// +listType=atomic
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	DefaultRoutes []string `json:"defaultRoutes,omitempty"`

	// choice is set where the pod selected a QoSClass and no Network.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	Choice *NetworkChoice `json:"choice,omitempty"`

	// qos is the QoSClass by value. Its values alone may change: the node agent brings the running pod to them.
	// +optional
	QoS *ResolvedQoS `json:"qos,omitempty"`

	// detach is set before the attachment of a pod is deleted that runs on without the interface: the node agent then takes the
	// interface away at once. Otherwise it waits for the end of the pod's sandbox.
	// +optional
	Detach bool `json:"detach,omitempty"`
}

// PodReference names one pod, not its successor of the same name. The pod is in the attachment's namespace.
type PodReference struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// NetworkChoice tells why an attachment is on its Network.
type NetworkChoice struct {
	// offered are the Networks that the pod's claim asked the scheduler for, the cheapest first.
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Offered []string `json:"offered"`
	// message says why it is this one and none that is cheaper, as far as that could be seen on the pod's node when the
	// attachment was made.
	// +kubebuilder:validation:MaxLength=8192
	Message string `json:"message"`
}

// AttachmentRack is the rack that the pod's node was in when the attachment was made, and the path there.
type AttachmentRack struct {
	// rack is the value of the node's topology label.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Rack string `json:"rack"`

	// uplink is the Network's configuration where the path is the rack's NIC.
	// +optional
	Uplink *RackUplinkSpec `json:"uplink,omitempty"`

	// overlay is set where the path is VXLAN among the rack's nodes.
	// +optional
	Overlay *AttachmentOverlay `json:"overlay,omitempty"`
}

// AttachmentOverlay is what nodes of the rack have to know to reach the pod.
type AttachmentOverlay struct {
	// vni is the VXLAN network identifier of the rack.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16777215
	VNI int32 `json:"vni"`
	// port is the UDP port of VXLAN.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// nodeAddress is the address of the pod's node, to which other nodes of the rack send.
	// +kubebuilder:validation:MaxLength=39
	NodeAddress string `json:"nodeAddress"`
}

// AttachmentAddress is an address of the interface.
type AttachmentAddress struct {
	// address with the prefix length of its subnet, for example 10.20.0.5/24.
	Address string `json:"address"`
	// gateway of the range that the address is from, if it has one.
	// +optional
	Gateway string `json:"gateway,omitempty"`
}

// ResolvedQoS is a QoSClass by value, without its cost and description.
type ResolvedQoS struct {
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.qos is of one QoSClass for ever: only its values change"
	ClassName    string `json:"className"`
	QoSClassSpec `json:",inline"`
}

// PodNetworkAttachmentStatus is written by the node agent.
type PodNetworkAttachmentStatus struct {
	// conditions are Ready and, where spec.qos is set, QoSEnforced.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// conflicts are the addresses of spec that another machine answers for, while Ready has the reason DuplicateAddress.
	// The operator sets them aside and makes this attachment anew.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Conflicts []AddressConflict `json:"conflicts,omitempty"`

	// device that carries the interface.
	// +optional
	Device *AttachedDevice `json:"device,omitempty"`

	// sandboxID is the runtime's identifier of the pod sandbox that holds the interface.
	// +optional
	SandboxID string `json:"sandboxID,omitempty"`

	// mac, mtu (bytes) and addresses (with prefix length) as read back from the kernel; with type CNI the addresses are those
	// that the plugins told.
	// +optional
	MAC string `json:"mac,omitempty"`
	// +optional
	MTU int32 `json:"mtu,omitempty"`
	// +listType=atomic
	// +optional
	Addresses []string `json:"addresses,omitempty"`

	// qos is what of spec.qos is in force, as read back from the kernel or the network card. What is not there is not in force;
	// the condition QoSEnforced tells why.
	// +optional
	QoS *EnforcedQoS `json:"qos,omitempty"`

	// attachedAt is when the interface was up with its addresses.
	// +optional
	AttachedAt *metav1.MicroTime `json:"attachedAt,omitempty"`

	// attachDuration is the time that the kernel work took.
	// +optional
	AttachDuration *metav1.Duration `json:"attachDuration,omitempty"`
}

// EnforcedQoS is a QoSClass as far as it is in force.
type EnforcedQoS struct {
	// className is the QoSClass that was asked for.
	ClassName string `json:"className"`
	// egress and ingress as the kernel or the card has them. Bandwidth is rounded to what they can express.
	// +optional
	Egress *EnforcedBandwidth `json:"egress,omitempty"`
	// +optional
	Ingress *EnforcedBandwidth `json:"ingress,omitempty"`
	// priority by which the node's queues serve the attachment; on a VLAN it stands in the tag, too.
	// +optional
	Priority *int32 `json:"priority,omitempty"`
	// dscp that is written into what the pod sends.
	// +optional
	DSCP *int32 `json:"dscp,omitempty"`
}

// EnforcedBandwidth is one direction of an EnforcedQoS.
type EnforcedBandwidth struct {
	// guaranteed in bit/s.
	// +optional
	Guaranteed *resource.Quantity `json:"guaranteed,omitempty"`
	// maximum in bit/s.
	// +optional
	Maximum *resource.Quantity `json:"maximum,omitempty"`
	// burst in bytes.
	// +optional
	Burst *resource.Quantity `json:"burst,omitempty"`
}

// AddressConflict is an address that another machine on the segment has.
type AddressConflict struct {
	// address without prefix length.
	// +kubebuilder:validation:MaxLength=39
	Address string `json:"address"`
	// mac of the machine that answered for it.
	// +kubebuilder:validation:MaxLength=64
	MAC string `json:"mac"`
}

// DeviceKind tells what carries an interface.
// +kubebuilder:validation:Enum=Uplink;VF;Overlay;NIC;CNI
type DeviceKind string

const (
	// DeviceKindUplink is a NIC that is shared by several attachments.
	DeviceKindUplink DeviceKind = "Uplink"
	// DeviceKindVF is an SR-IOV virtual function, which one attachment has for itself.
	DeviceKindVF DeviceKind = "VF"
	// DeviceKindOverlay is the node's way to its rack over its own address.
	DeviceKindOverlay DeviceKind = "Overlay"
	// DeviceKindNIC is a NIC that carries virtual functions or the overlay and is no uplink. It has their bandwidth and
	// carries no interface itself.
	DeviceKindNIC DeviceKind = "NIC"
	// DeviceKindCNI stands for the CNI plugins that may run on the node. Its attributes in the domain CNIPluginDomain name them.
	DeviceKindCNI DeviceKind = "CNI"
)

// AttachedDevice identifies the device of an attachment exactly.
type AttachedDevice struct {
	Kind DeviceKind `json:"kind"`
	// name of the DRA device in the node's pool.
	Name string `json:"name"`
	// uplink is the interface name on the node; of an overlay, the interface that has the node's address.
	// +optional
	Uplink string `json:"uplink,omitempty"`
	// pciAddress, for example 0000:3b:00.1.
	// +optional
	PCIAddress string `json:"pciAddress,omitempty"`
	// pcieRoot, for example pci0000:3a.
	// +optional
	PCIeRoot string `json:"pcieRoot,omitempty"`
	// +optional
	Driver string `json:"driver,omitempty"`
	// vendor is the PCI vendor identifier, for example 0x8086.
	// +optional
	Vendor string `json:"vendor,omitempty"`
	// +optional
	NUMANode *int32 `json:"numaNode,omitempty"`
	// pf is the interface name of the physical function, vfIndex the VF's number on it.
	// +optional
	PF string `json:"pf,omitempty"`
	// +optional
	VFIndex *int32 `json:"vfIndex,omitempty"`
	// rdmaDevice that was moved along, for example mlx5_3.
	// +optional
	RDMADevice string `json:"rdmaDevice,omitempty"`
	// vfioGroup is the IOMMU group of a device that is bound to vfio-pci.
	// +optional
	VFIOGroup string `json:"vfioGroup,omitempty"`
	// resourceName and deviceID tell which device of a device plugin the CNI plugins got.
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
	// +optional
	DeviceID string `json:"deviceID,omitempty"`
}
