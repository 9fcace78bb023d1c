package netattach

import (
	"crypto/sha256"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lengths of a Network's name and of the hash in it.
const (
	maxNetworkName = 48
	hashLength     = 8
)

// NetworkName is the name of the Network for a NetworkAttachmentDefinition: a Network belongs to no namespace, so both
// names are in it, with a hash that tells apart what was shortened or joined alike.
func NetworkName(namespace, name string) string {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(namespace+"/"+name)))[:hashLength]
	readable := "nad-" + namespace + "-" + name
	if limit := maxNetworkName - hashLength - 1; len(readable) > limit {
		readable = strings.TrimRight(readable[:limit], "-")
	}
	return readable + "-" + hash
}

func namespaceSelector(namespace string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
}
