// Package v1alpha1 is the Multinet API: Network, QoSClass and PodNetworkAttachment, group multinet.dev.
//
// The package has no I/O. Rules that can be checked on one object are CEL in the generated CRDs; the
// markers stand next to the fields they guard.
//
// +kubebuilder:object:generate=true
// +groupName=multinet.dev
package v1alpha1
