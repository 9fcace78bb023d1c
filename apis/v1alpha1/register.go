package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group, and also the name of the DRA driver and the prefix of every annotation.
const GroupName = "multinet.dev"

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme registers the types of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Network{}, &NetworkList{},
		&QoSClass{}, &QoSClassList{},
		&PodNetworkAttachment{}, &PodNetworkAttachmentList{},
		&AddressClaim{}, &AddressClaimList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
