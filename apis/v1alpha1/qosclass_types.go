package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// QoSClass is a quality of service that a Network or a pod's selection names.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=mqos,categories=multinet
// +kubebuilder:printcolumn:name="Guaranteed",type=string,JSONPath=`.spec.egress.guaranteed`
// +kubebuilder:printcolumn:name="Maximum",type=string,JSONPath=`.spec.egress.maximum`
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a QoSClass's name must be a DNS label of at most 63 characters"
type QoSClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec QoSClassSpec `json:"spec"`
}

// QoSClassList is a list of QoSClasses.
// +kubebuilder:object:root=true
type QoSClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []QoSClass `json:"items"`
}

// QoSClassSpec says what an attachment of this class may use and is promised.
type QoSClassSpec struct {
	// egress is what the pod sends.
	// +optional
	Egress *Bandwidth `json:"egress,omitempty"`

	// ingress is what the pod receives.
	// +optional
	Ingress *Bandwidth `json:"ingress,omitempty"`

	// priority is the 802.1p priority, 0 (lowest) to 7.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=7
	// +optional
	Priority *int32 `json:"priority,omitempty"`

	// dscp is written into the IP header of what the pod sends.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=63
	// +optional
	DSCP *int32 `json:"dscp,omitempty"`
}

// Bandwidth of one direction.
// +kubebuilder:validation:XValidation:rule="!has(self.guaranteed) || !has(self.maximum) || quantity(string(self.guaranteed)).compareTo(quantity(string(self.maximum))) <= 0",message="guaranteed must not exceed maximum"
// +kubebuilder:validation:XValidation:rule="!has(self.guaranteed) || quantity(string(self.guaranteed)).isGreaterThan(quantity('0'))",message="guaranteed must be greater than 0; leave it out for none"
// +kubebuilder:validation:XValidation:rule="!has(self.maximum) || quantity(string(self.maximum)).isGreaterThan(quantity('0'))",message="maximum must be greater than 0; leave it out for no limit"
type Bandwidth struct {
	// guaranteed in bit/s. The scheduler places a pod only where this much of the uplink is left.
	// +optional
	Guaranteed *resource.Quantity `json:"guaranteed,omitempty"`

	// maximum in bit/s.
	// +optional
	Maximum *resource.Quantity `json:"maximum,omitempty"`

	// burst in bytes that may exceed maximum for a moment.
	// +optional
	Burst *resource.Quantity `json:"burst,omitempty"`
}
