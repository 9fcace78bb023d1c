package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RackLocalSpec configures a Network of type RackLocal: one segment in each rack, each with a prefix of its own.
//
// +kubebuilder:validation:XValidation:rule="has(self.uplink) != has(self.overlay)",message="exactly one of uplink and overlay must be set"
// +kubebuilder:validation:XValidation:rule="has(self.uplink) == has(oldSelf.uplink) && self.?uplink.vlan == oldSelf.?uplink.vlan",message="the path of a RackLocal Network is immutable: create another Network"
// +kubebuilder:validation:XValidation:rule="self.?prefixLength.ipv4 == oldSelf.?prefixLength.ipv4 && self.?prefixLength.ipv6 == oldSelf.?prefixLength.ipv6",message="spec.rackLocal.prefixLength is immutable: racks have prefixes of that length"
type RackLocalSpec struct {
	// topologyKey is the node label whose value names the rack. kubernetes.io/hostname makes a network for each
	// node. Labels other than the default, kubernetes.io/hostname, topology.kubernetes.io/zone and
	// topology.kubernetes.io/region have to be named in the configuration of the node agents.
	// +kubebuilder:default="topology.multinet.dev/rack"
	// +kubebuilder:validation:MaxLength=96
	// +kubebuilder:validation:Pattern=`^([a-z0-9]|[a-z0-9][-a-z0-9.]{0,61}[a-z0-9])/([A-Za-z]|[A-Za-z][-A-Za-z0-9_.]{0,30}[A-Za-z0-9])$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.rackLocal.topologyKey is immutable: create another Network"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('multinet.dev/')",message="spec.rackLocal.topologyKey must not be in the domain multinet.dev, whose names are the attributes of devices"
	// +optional
	TopologyKey string `json:"topologyKey,omitempty"`

	// prefixLength of the prefix that each rack gets out of spec.ipam.ranges, for each family that has a range.
	// +optional
	PrefixLength *RackPrefixLength `json:"prefixLength,omitempty"`

	// uplink is a NIC that is wired to the rack's switch: pods get macvlan links on it.
	// +optional
	Uplink *RackUplinkSpec `json:"uplink,omitempty"`

	// overlay connects the rack's nodes by VXLAN over their node addresses, for racks without such a NIC.
	// +optional
	Overlay *RackOverlaySpec `json:"overlay,omitempty"`
}

// RackPrefixLength is in bits.
type RackPrefixLength struct {
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=30
	// +optional
	IPv4 *int32 `json:"ipv4,omitempty"`
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=126
	// +optional
	IPv6 *int32 `json:"ipv6,omitempty"`
}

// RackUplinkSpec selects the NIC that is wired to the rack's switch.
type RackUplinkSpec struct {
	UplinkSelector `json:",inline"`

	// vlan is the 802.1Q tag on the uplink. Unset sends untagged.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	// +optional
	VLAN *int32 `json:"vlan,omitempty"`
}

// RackOverlaySpec configures VXLAN among the nodes of a rack.
// +kubebuilder:validation:XValidation:rule="self.vnis.first == oldSelf.vnis.first && self.vnis.last == oldSelf.vnis.last && self.port == oldSelf.port",message="spec.rackLocal.overlay is immutable: create another Network"
type RackOverlaySpec struct {
	// vnis are the VXLAN network identifiers that racks get. No two racks of a cluster have the same.
	// +kubebuilder:default={first: 5000000, last: 5999999}
	// +optional
	VNIs VNIRange `json:"vnis,omitzero"`

	// port is the UDP port.
	// +kubebuilder:default=4789
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
}

// VNIRange is a closed interval of VXLAN network identifiers.
// +kubebuilder:validation:XValidation:rule="self.first <= self.last",message="first must not be greater than last"
type VNIRange struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16777215
	First int32 `json:"first"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16777215
	Last int32 `json:"last"`
}

// RackStatus is one rack of a Network.
type RackStatus struct {
	// name is the value of the topology label.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// prefixes of the rack, at most one of each family; empty while the ranges have none left.
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	Prefixes []string `json:"prefixes,omitempty"`

	// vni of the rack's overlay.
	// +optional
	VNI int32 `json:"vni,omitempty"`

	// nodes of the rack that pods of the Network can run on.
	// +optional
	Nodes int32 `json:"nodes"`

	// attachments in the rack.
	// +optional
	Attachments int32 `json:"attachments"`

	// emptySince is when the rack lost its last node and attachment. Prefixes and VNI are given to other racks when
	// the quarantine of spec.ipam has passed since.
	// +optional
	EmptySince *metav1.Time `json:"emptySince,omitempty"`
}
