package netattach

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// GroupVersion of NetworkAttachmentDefinition, of which Multinet knows what it reads.
var GroupVersion = schema.GroupVersion{Group: "k8s.cni.cncf.io", Version: "v1"}

// LabelDefinitions on a namespace, with the value LabelDefinitionsNative, has its NetworkAttachmentDefinitions become Networks
// and its pods select them by the annotation of Multus.
const (
	LabelDefinitions       = v1alpha1.GroupName + "/netattachdefs"
	LabelDefinitionsNative = "native"
)

// LabelPlugins on a namespace, with the value LabelPluginsAllowed, has CNI plugins do what its NetworkAttachmentDefinitions say and
// Multinet does not do itself. Whoever may write a definition there runs them as root on nodes.
const (
	LabelPlugins        = v1alpha1.GroupName + "/cni-plugins"
	LabelPluginsAllowed = "allowed"
)

// AnnotationNamespaces on a NetworkAttachmentDefinition is a comma list of the other namespaces whose pods may select it.
const AnnotationNamespaces = v1alpha1.GroupName + "/namespaces"

// AnnotationOrigin on a Network names the NetworkAttachmentDefinition that it stands for, as namespace/name. Such a Network
// is the operator's.
const AnnotationOrigin = v1alpha1.GroupName + "/netattachdef"

// NetworkAttachmentDefinition is the object of the multi-net-spec, section 3.2.
type NetworkAttachmentDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              NetworkAttachmentDefinitionSpec `json:"spec,omitempty"`
}

// NetworkAttachmentDefinitionSpec holds a CNI configuration as text.
type NetworkAttachmentDefinitionSpec struct {
	Config string `json:"config,omitempty"`
}

// NetworkAttachmentDefinitionList is a list of them.
type NetworkAttachmentDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NetworkAttachmentDefinition `json:"items"`
}

// DeepCopyObject makes it a runtime.Object.
func (d *NetworkAttachmentDefinition) DeepCopyObject() runtime.Object {
	out, meta := *d, &d.ObjectMeta
	meta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// DeepCopyObject makes it a runtime.Object.
func (l *NetworkAttachmentDefinitionList) DeepCopyObject() runtime.Object {
	out, meta := *l, &l.ListMeta
	meta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]NetworkAttachmentDefinition, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*NetworkAttachmentDefinition)
	}
	return &out
}

// AddToScheme registers the types.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &NetworkAttachmentDefinition{}, &NetworkAttachmentDefinitionList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Definition is what a translation needs of it.
func (d *NetworkAttachmentDefinition) Definition() Definition {
	return Definition{Namespace: d.Namespace, Name: d.Name, Config: d.Spec.Config, ResourceName: d.Annotations[npwg.AnnotationResourceName],
		AllowedNamespaces: ParseNamespaces(d.Annotations[AnnotationNamespaces])}
}

// ParseNamespaces reads the value of AnnotationNamespaces.
func ParseNamespaces(value string) (namespaces []string) {
	for _, namespace := range strings.Split(value, ",") {
		if namespace = strings.TrimSpace(namespace); namespace != "" {
			namespaces = append(namespaces, namespace)
		}
	}
	return namespaces
}
