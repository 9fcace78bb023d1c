package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkType selects the data path of a Network and names the union member of NetworkSpec that is set.
// +kubebuilder:validation:Enum=Macvlan;SRIOV;RackLocal;HostDevice;CNI
type NetworkType string

const (
	// NetworkTypeMacvlan gives each pod a macvlan link on an uplink of its node.
	NetworkTypeMacvlan NetworkType = "Macvlan"
	// NetworkTypeSRIOV gives each pod a virtual function of a NIC.
	NetworkTypeSRIOV NetworkType = "SRIOV"
	// NetworkTypeRackLocal exists once in every rack: pods reach the pods of their own rack and nobody else.
	NetworkTypeRackLocal NetworkType = "RackLocal"
	// NetworkTypeHostDevice gives one pod a whole NIC of its node.
	NetworkTypeHostDevice NetworkType = "HostDevice"
	// NetworkTypeCNI has CNI plugins of the node make the interface.
	NetworkTypeCNI NetworkType = "CNI"
)

// Network is an additional network that pods can select with the annotation multinet.dev/networks.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mnet,categories=multinet
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Attachments",type=integer,JSONPath=`.status.attachments`
// +kubebuilder:printcolumn:name="Racks",type=string,JSONPath=`.status.rackSummary`
// +kubebuilder:printcolumn:name="Guaranteed",type=string,JSONPath=`.status.bandwidthSummary`
// +kubebuilder:printcolumn:name="Range",type=string,priority=1,JSONPath=`.spec.ipam.ranges[0].cidr`
// +kubebuilder:printcolumn:name="Range-2",type=string,priority=1,JSONPath=`.spec.ipam.ranges[1].cidr`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="From",type=string,priority=1,JSONPath=`.metadata.annotations.multinet\.dev/netattachdef`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 48",message="a Network's name must be a DNS label of at most 48 characters, since it is part of claim names"
type Network struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec NetworkSpec `json:"spec"`
	// +optional
	Status NetworkStatus `json:"status,omitempty"`
}

// NetworkList is a list of Networks.
// +kubebuilder:object:root=true
type NetworkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Network `json:"items"`
}

// NetworkSpec is a union on type: exactly the member that type names is set.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Macvlan' ? has(self.macvlan) : !has(self.macvlan)",message="spec.macvlan must be set exactly when spec.type is Macvlan"
// +kubebuilder:validation:XValidation:rule="self.type == 'SRIOV' ? has(self.sriov) : !has(self.sriov)",message="spec.sriov must be set exactly when spec.type is SRIOV"
// +kubebuilder:validation:XValidation:rule="self.type == 'RackLocal' ? has(self.rackLocal) : !has(self.rackLocal)",message="spec.rackLocal must be set exactly when spec.type is RackLocal"
// +kubebuilder:validation:XValidation:rule="self.type == 'HostDevice' ? has(self.hostDevice) : !has(self.hostDevice)",message="spec.hostDevice must be set exactly when spec.type is HostDevice"
// +kubebuilder:validation:XValidation:rule="self.type == 'CNI' ? has(self.cni) : !has(self.cni)",message="spec.cni must be set exactly when spec.type is CNI"
// +kubebuilder:validation:XValidation:rule="self.type != 'CNI' || (!has(self.mtu) && !has(self.ipam) && !has(self.routes))",message="spec.mtu, spec.ipam and spec.routes cannot be had with type CNI: the plugins say which MTU, addresses and routes there are"
// +kubebuilder:validation:XValidation:rule="self.type != 'CNI' || (!has(self.qosClassName) && !has(self.allowedQoSClasses))",message="a QoSClass cannot be had with type CNI: nothing is known of the NIC behind the plugins, chain the plugin bandwidth instead"
// +kubebuilder:validation:XValidation:rule="self.type != 'HostDevice' || (!has(self.qosClassName) && !has(self.allowedQoSClasses))",message="a QoSClass cannot be had with type HostDevice: the pod has the NIC, and all of its bandwidth, alone"
// +kubebuilder:validation:XValidation:rule="self.type != 'RackLocal' || !has(self.ipam) || !has(self.ipam.sticky)",message="spec.ipam.sticky cannot be had with type RackLocal: an address of one rack cannot follow a pod to another"
// +kubebuilder:validation:XValidation:rule="!has(self.routes) || has(self.ipam)",message="spec.routes needs spec.ipam: an interface without addresses cannot route"
type NetworkSpec struct {
	// type is the data path. It cannot be changed: running pods keep the links that they have.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.type is immutable: create another Network"
	// +required
	Type NetworkType `json:"type"`

	// macvlan configures type Macvlan.
	// +optional
	Macvlan *MacvlanSpec `json:"macvlan,omitempty"`

	// sriov configures type SRIOV.
	// +optional
	SRIOV *SRIOVSpec `json:"sriov,omitempty"`

	// rackLocal configures type RackLocal.
	// +optional
	RackLocal *RackLocalSpec `json:"rackLocal,omitempty"`

	// hostDevice configures type HostDevice.
	// +optional
	HostDevice *HostDeviceSpec `json:"hostDevice,omitempty"`

	// cni configures type CNI.
	// +optional
	CNI *CNISpec `json:"cni,omitempty"`

	// mtu of the pod's interface in bytes. Unset takes over the MTU of the uplink; on an overlay, that of the node's
	// interface less the encapsulation.
	// +kubebuilder:validation:Minimum=68
	// +kubebuilder:validation:Maximum=65535
	// +optional
	MTU *int32 `json:"mtu,omitempty"`

	// ipam says which addresses the pods get. Unset gives interfaces without addresses.
	// +optional
	IPAM *IPAMSpec `json:"ipam,omitempty"`

	// routes are added to the pod, through its first interface on this network. A pod cannot select two Networks
	// with a route to the same destination.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Routes []Route `json:"routes,omitempty"`

	// qosClassName is the QoSClass of attachments that select none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	QoSClassName string `json:"qosClassName,omitempty"`

	// allowedQoSClasses are the QoSClasses that a pod may select instead, as in network:class; "*" admits all. That of
	// qosClassName may always be selected. Unset admits no other.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(c, c == '*' || c.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",message="every entry must be the name of a QoSClass, or * for all"
	// +listType=set
	// +optional
	AllowedQoSClasses []string `json:"allowedQoSClasses,omitempty"`

	// cost tells how expensive the Network is, by a scale of your own: a pod that selects class=qosclass and no Network gets the
	// cheapest that has the class and a place for it. Unset, the Network costs what the QoSClass of qosClassName does, 0
	// without one. Among equals the name decides.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Cost *int32 `json:"cost,omitempty"`

	// namespaceSelector restricts the namespaces whose pods may select this Network. Unset admits all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// MacvlanMode is the macvlan mode of the kernel.
// +kubebuilder:validation:Enum=Bridge;VEPA;Private;Passthru
type MacvlanMode string

const (
	// MacvlanModeBridge lets pods on one uplink reach each other without leaving the node.
	MacvlanModeBridge MacvlanMode = "Bridge"
	// MacvlanModeVEPA sends everything to the switch, which must reflect it (802.1Qbg).
	MacvlanModeVEPA MacvlanMode = "VEPA"
	// MacvlanModePrivate keeps pods on one uplink apart.
	MacvlanModePrivate MacvlanMode = "Private"
	// MacvlanModePassthru gives the whole uplink to one pod.
	MacvlanModePassthru MacvlanMode = "Passthru"
)

// MacvlanSpec configures a Network of type Macvlan.
//
// The rule stands here because one at an optional field is not asked when the field comes or goes.
// +kubebuilder:validation:XValidation:rule="self.?vlan == oldSelf.?vlan",message="spec.macvlan.vlan is immutable: pods of two VLANs would share one address range"
type MacvlanSpec struct {
	// uplink selects the NIC of each node. Nodes without one are not offered to pods of this Network.
	// Changes apply to new pods; running pods keep the uplink that they have.
	// +required
	Uplink UplinkSelector `json:"uplink"`

	// vlan is the 802.1Q tag on the uplink. Unset sends untagged.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	// +optional
	VLAN *int32 `json:"vlan,omitempty"`

	// mode of the macvlan links.
	// +kubebuilder:default=Bridge
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.macvlan.mode is immutable: the kernel refuses two modes on one uplink where one is Passthru"
	// +optional
	Mode MacvlanMode `json:"mode,omitempty"`
}

// UplinkSelector selects NICs that node agents publish. All set fields must match.
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.macs) || has(self.pciAddresses) || has(self.driver) || has(self.minLinkSpeed)",message="a selector of NICs must set at least one of names, macs, pciAddresses, driver, minLinkSpeed"
type UplinkSelector struct {
	// names of the interface; one of them must match. NICs may be named differently on each node.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	Names []InterfaceName `json:"names,omitempty"`

	// macs of NICs, in lower case; one of them must match. A NIC has its own on one node alone.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`
	// +listType=set
	// +optional
	MACs []string `json:"macs,omitempty"`

	// pciAddresses of NICs, such as 0000:3b:00.1; one of them must match. Nodes that are built alike have a NIC at the same one.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`
	// +listType=set
	// +optional
	PCIAddresses []string `json:"pciAddresses,omitempty"`

	// driver of the NIC's kernel device, for example mlx5_core.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Driver string `json:"driver,omitempty"`

	// minLinkSpeed in bit/s, for example 25G.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="minLinkSpeed must be greater than 0"
	// +optional
	MinLinkSpeed *resource.Quantity `json:"minLinkSpeed,omitempty"`
}

// InterfaceName is a name that the kernel accepts for a network interface and that the selection
// annotation can carry.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=15
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
type InterfaceName string

// IPAMSpec configures the addresses of a Network. A pod gets one address of each family that has a range.
type IPAMSpec struct {
	// ranges are used in the order given; the second range of a family is used when the first is full.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.all(b, a == b || !isCIDR(a.cidr) || !isCIDR(b.cidr) || (!cidr(a.cidr).containsCIDR(b.cidr) && !cidr(b.cidr).containsCIDR(a.cidr))))",message="ranges of one Network must not overlap"
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.cidr == a.cidr))",message="ranges of one Network must not overlap: a cidr stands twice"
	// +listType=atomic
	// +required
	Ranges []IPRange `json:"ranges"`

	// quarantine is how long a released address rests before it is given out again.
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="quarantine must be between 0s and 24h"
	// +optional
	Quarantine *metav1.Duration `json:"quarantine,omitempty"`

	// sticky PodName gives a pod the addresses and the MAC that a pod of its name and namespace had before, as a
	// StatefulSet's pods need it. They are kept in an AddressClaim. Unset gives each pod new ones.
	// +optional
	Sticky StickyPolicy `json:"sticky,omitempty"`

	// retention is how long sticky addresses are kept while there is no pod of the name.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="retention must be between 1s and 8760h"
	// +optional
	Retention *metav1.Duration `json:"retention,omitempty"`
}

// StickyPolicy says what addresses stay with.
// +kubebuilder:validation:Enum=PodName
type StickyPolicy string

// StickyPodName keeps addresses for the next pod of the same namespace and name.
const StickyPodName StickyPolicy = "PodName"

// IPRange is a part of one subnet that addresses are taken from.
//
// +kubebuilder:validation:XValidation:rule="!has(self.start) || !isCIDR(self.cidr) || (isIP(self.start) && cidr(self.cidr).containsIP(self.start))",message="start must be an address inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.end) || !isCIDR(self.cidr) || (isIP(self.end) && cidr(self.cidr).containsIP(self.end))",message="end must be an address inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || !isCIDR(self.cidr) || (isIP(self.gateway) && cidr(self.cidr).containsIP(self.gateway))",message="gateway must be an address inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.exclude) || !isCIDR(self.cidr) || self.exclude.all(e, isCIDR(e) && cidr(self.cidr).containsCIDR(e))",message="every exclude must be a CIDR inside cidr"
type IPRange struct {
	// cidr is the subnet, for example 10.20.0.0/24 or fd00:20::/64. Its prefix length is that of the pods' addresses.
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="cidr must be a subnet in CIDR form without host bits, for example 10.20.0.0/24"
	// +required
	CIDR string `json:"cidr"`

	// start is the first address to give out. Unset means the first usable address of cidr.
	// +kubebuilder:validation:MaxLength=39
	// +optional
	Start string `json:"start,omitempty"`

	// end is the last address to give out. Unset means the last usable address of cidr.
	// +kubebuilder:validation:MaxLength=39
	// +optional
	End string `json:"end,omitempty"`

	// gateway is never given out. Routes of this family without a via go through it.
	// +kubebuilder:validation:MaxLength=39
	// +optional
	Gateway string `json:"gateway,omitempty"`

	// exclude lists prefixes inside cidr that are never given out.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=43
	// +listType=set
	// +optional
	Exclude []string `json:"exclude,omitempty"`
}

// Route is a route in the pod through the network's interface.
// +kubebuilder:validation:XValidation:rule="!has(self.via) || !isCIDR(self.to) || (isIP(self.via) && ip(self.via).family() == cidr(self.to).ip().family())",message="via must be an address of the same family as to"
type Route struct {
	// to is the destination in CIDR form.
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="to must be a prefix in CIDR form without host bits"
	// +required
	To string `json:"to"`

	// via is the next hop. Unset takes the gateway of the pod's range of that family; without one the
	// destination is on link.
	// +kubebuilder:validation:MaxLength=39
	// +optional
	Via string `json:"via,omitempty"`
}

// NetworkStatus is written by the operator.
type NetworkStatus struct {
	// observedGeneration is the generation that the rest of the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted and Ready; AddressConflict where another Network uses the same addresses on the same uplink;
	// with type RackLocal RacksServed, and NodeMoved while pods run in a rack that their node has left.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// attachments is the number of PodNetworkAttachments of this Network.
	// +optional
	Attachments int32 `json:"attachments"`

	// nodes is the number of nodes that have a matching uplink.
	// +optional
	Nodes int32 `json:"nodes"`

	// Atomic: of a list by name the API server notes who wrote which rack, which is more than the racks themselves, and
	// five times slower.

	// racks of type RackLocal, by name. An address prefix is recorded here before an address of it is given out.
	// +kubebuilder:validation:MaxItems=5000
	// +listType=atomic
	// +optional
	Racks []RackStatus `json:"racks,omitempty"`

	// rackSummary names the racks, the first five where there are more.
	// +optional
	RackSummary string `json:"rackSummary,omitempty"`

	// ranges tells how full each range is, in the order of spec.ipam.ranges. Type RackLocal has racks instead.
	// +listType=map
	// +listMapKey=cidr
	// +optional
	Ranges []RangeStatus `json:"ranges,omitempty"`

	// bandwidth tells, for each name that NICs of this Network have on nodes, how much is guaranteed to pods, of this Network and of
	// others: at most 16, those that most nodes have.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Bandwidth []UplinkBandwidth `json:"bandwidth,omitempty"`

	// fullest are the NICs that have the largest part of their bandwidth guaranteed, at most 5.
	// +kubebuilder:validation:MaxItems=5
	// +listType=atomic
	// +optional
	Fullest []NodeBandwidth `json:"fullest,omitempty"`

	// bandwidthSummary is the sum of all NICs, such as "2G/40G out, 0/40G in" in bit/s.
	// +optional
	BandwidthSummary string `json:"bandwidthSummary,omitempty"`

	// setAside are addresses that are not given out for now, since a node found another machine that uses them. The oldest
	// first; each is given out again after 10 minutes, after all others.
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=address
	// +optional
	SetAside []SetAsideAddress `json:"setAside,omitempty"`
}

// BandwidthUse is of one direction, in bit/s.
type BandwidthUse struct {
	// guaranteed is what the scheduler has set aside for pods.
	Guaranteed resource.Quantity `json:"guaranteed"`
	// total is what may be guaranteed.
	Total resource.Quantity `json:"total"`
}

// UplinkBandwidth is the sum of the NICs of one name on all nodes.
type UplinkBandwidth struct {
	// uplink is the interface name of the NICs: that of the physical function for virtual functions, that of the node's
	// interface for an overlay.
	Uplink string `json:"uplink"`
	// nodes is the number of nodes that have one.
	Nodes   int32        `json:"nodes"`
	Egress  BandwidthUse `json:"egress"`
	Ingress BandwidthUse `json:"ingress"`
}

// NodeBandwidth is one NIC of a node.
type NodeBandwidth struct {
	Node string `json:"node"`
	// uplink is the interface name of the NIC.
	Uplink  string       `json:"uplink"`
	Egress  BandwidthUse `json:"egress"`
	Ingress BandwidthUse `json:"ingress"`
}

// SetAsideAddress is an address that a machine uses which is not a pod of this cluster.
type SetAsideAddress struct {
	// address without prefix length.
	// +kubebuilder:validation:MaxLength=39
	Address string `json:"address"`
	// mac of the machine.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	MAC string `json:"mac,omitempty"`
	// since is when it was set aside.
	Since metav1.Time `json:"since"`
}

// RangeStatus counts the addresses of one range. Numbers are decimal strings, since a /64 exceeds 64 bits.
type RangeStatus struct {
	CIDR string `json:"cidr"`
	// total is the number of addresses that can be given out.
	Total string `json:"total"`
	// allocated is the number of addresses held by attachments and claims.
	Allocated string `json:"allocated"`
	// free is total less allocated and set aside, quarantined addresses included.
	Free string `json:"free"`
}
