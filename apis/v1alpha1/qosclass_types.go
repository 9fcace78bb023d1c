package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// QoSClass is a quality of service that a Network or a pod's selection names. A change reaches running attachments, except
// a guarantee above what their pods were scheduled with. A class that is deleted stays until no attachment and no Network
// uses it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mqos,categories=multinet
// +kubebuilder:printcolumn:name="Guaranteed",type=string,JSONPath=`.spec.egress.guaranteed`
// +kubebuilder:printcolumn:name="Maximum",type=string,JSONPath=`.spec.egress.maximum`
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Cost",type=integer,JSONPath=`.spec.cost`
// +kubebuilder:printcolumn:name="Attachments",type=integer,JSONPath=`.status.attachments`
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=`.status.current`
// +kubebuilder:printcolumn:name="Enforced",type=integer,JSONPath=`.status.enforced`
// +kubebuilder:printcolumn:name="Rolled-Out",type=string,JSONPath=`.status.conditions[?(@.type=="RolledOut")].status`
// +kubebuilder:printcolumn:name="Guaranteed-In",type=string,priority=1,JSONPath=`.spec.ingress.guaranteed`
// +kubebuilder:printcolumn:name="Maximum-In",type=string,priority=1,JSONPath=`.spec.ingress.maximum`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="RolledOut")].reason`
// +kubebuilder:printcolumn:name="Description",type=string,priority=1,JSONPath=`.spec.description`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a QoSClass's name must be a DNS label of at most 63 characters"
type QoSClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec QoSClassSpec `json:"spec"`
	// +optional
	Status QoSClassStatus `json:"status,omitempty"`
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

	// cost tells how expensive the class is, by a scale of your own. It is that of the Networks whose default the class is
	// and that have none of their own.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Cost int32 `json:"cost,omitempty"`

	// description is for those who choose a class.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Description string `json:"description,omitempty"`
}

// Bandwidth of one direction.
// +kubebuilder:validation:XValidation:rule="!has(self.guaranteed) || !has(self.maximum) || quantity(string(self.guaranteed)).compareTo(quantity(string(self.maximum))) <= 0",message="guaranteed must not exceed maximum"
// +kubebuilder:validation:XValidation:rule="!has(self.guaranteed) || quantity(string(self.guaranteed)).isGreaterThan(quantity('0'))",message="guaranteed must be greater than 0; leave it out for none"
// +kubebuilder:validation:XValidation:rule="!has(self.maximum) || quantity(string(self.maximum)).isGreaterThan(quantity('0'))",message="maximum must be greater than 0; leave it out for no limit"
// +kubebuilder:validation:XValidation:rule="(!has(self.guaranteed) || (quantity(string(self.guaranteed)).isInteger() && quantity(string(self.guaranteed)).compareTo(quantity('1k')) >= 0 && quantity(string(self.guaranteed)).compareTo(quantity('1T')) <= 0)) && (!has(self.maximum) || (quantity(string(self.maximum)).isInteger() && quantity(string(self.maximum)).compareTo(quantity('1k')) >= 0 && quantity(string(self.maximum)).compareTo(quantity('1T')) <= 0))",message="guaranteed and maximum are in bit/s, whole numbers between 1k and 1T"
// +kubebuilder:validation:XValidation:rule="!has(self.burst) || (quantity(string(self.burst)).isInteger() && quantity(string(self.burst)).compareTo(quantity('1500')) >= 0 && quantity(string(self.burst)).compareTo(quantity('1Gi')) <= 0)",message="burst is in bytes, a whole number between 1500 (one packet) and 1Gi"
// +kubebuilder:validation:XValidation:rule="!has(self.burst) || has(self.guaranteed) || has(self.maximum)",message="burst is what may exceed a rate for a moment: set guaranteed or maximum as well"
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

// QoSClassStatus is written by the operator.
type QoSClassStatus struct {
	// observedGeneration is the generation that the rest of the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are RolledOut, and InUse while the class is being deleted.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// attachments is the number of PodNetworkAttachments of this class.
	// +optional
	Attachments int32 `json:"attachments"`

	// current is the number of those that have the class's values in their spec.
	// +optional
	Current int32 `json:"current"`

	// enforced is the number of those whose node says that all they have in their spec is in force.
	// +optional
	Enforced int32 `json:"enforced"`

	// restart is the number of those that keep a lower guarantee than the class's, since the scheduler has set aside no more
	// for their pods: these have to be started again.
	// +optional
	Restart int32 `json:"restart"`
}
