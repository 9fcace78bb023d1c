package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressClaim keeps addresses and a MAC of a Network for the pods of one name, one after the other, and frees them when
// it is deleted. Users write one to ask for certain addresses; the operator writes one for each interface of a
// Network with spec.ipam.sticky, and deletes it when the Network's retention has passed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=multinet
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.spec.podName`
// +kubebuilder:printcolumn:name="Network",type=string,JSONPath=`.spec.networkName`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.addresses[0]`
// +kubebuilder:printcolumn:name="Address-2",type=string,JSONPath=`.spec.addresses[1]`
// +kubebuilder:printcolumn:name="Reserved",type=string,JSONPath=`.status.conditions[?(@.type=="Reserved")].status`
// +kubebuilder:printcolumn:name="MAC",type=string,priority=1,JSONPath=`.spec.mac`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Reserved")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AddressClaim struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: delete the claim and create another"
	// +required
	Spec AddressClaimSpec `json:"spec"`
	// +optional
	Status AddressClaimStatus `json:"status,omitempty"`
}

// AddressClaimList is a list of AddressClaims.
// +kubebuilder:object:root=true
type AddressClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AddressClaim `json:"items"`
}

// AddressClaimSpec says which interface of which pods gets what.
//
// +kubebuilder:validation:XValidation:rule="has(self.addresses) || has(self.mac)",message="a claim must name addresses, a mac or both"
type AddressClaimSpec struct {
	// networkName is the Network of the addresses.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=48
	NetworkName string `json:"networkName"`

	// podName of the pods, in the claim's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName"`

	// interface of the pod. Unset is its first interface on the Network.
	// +optional
	Interface InterfaceName `json:"interface,omitempty"`

	// addresses without prefix length, at most one of each family. They may be outside of start and end, and among
	// what a range excludes. A family that is left out is given as to any other pod.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="self.all(a, isIP(a) && ip.isCanonical(a))",message="addresses must be IP addresses in canonical form without prefix length, for example 10.20.0.9 or fd00:20::9"
	// +kubebuilder:validation:XValidation:rule="size(self) < 2 || !isIP(self[0]) || !isIP(self[1]) || ip(self[0]).family() != ip(self[1]).family()",message="a claim can name one address of each family"
	// +listType=atomic
	// +optional
	Addresses []string `json:"addresses,omitempty"`

	// mac of the interface in lower case. Unset derives one from the Network's name and the first address. A Network of type
	// HostDevice has none to give: a NIC keeps its own.
	// +kubebuilder:validation:Pattern=`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`
	// +kubebuilder:validation:XValidation:rule="self != '00:00:00:00:00:00'",message="mac must not be all zero"
	// +optional
	MAC string `json:"mac,omitempty"`
}

// AddressClaimStatus is written by the operator.
type AddressClaimStatus struct {
	// conditions is Reserved.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// unusedSince is when the last pod of the name was gone; unset while one has the addresses.
	// +optional
	UnusedSince *metav1.Time `json:"unusedSince,omitempty"`
}
