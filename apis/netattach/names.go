package netattach

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/selection"
)

// Lengths of a Network's name and of the hash in it.
const (
	maxNetworkName = 48
	hashLength     = 8
)

// namePrefix begins the names of Networks that stand for a NetworkAttachmentDefinition.
const namePrefix = "nad-"

// NetworkName is the name of the Network for a NetworkAttachmentDefinition: nad-LENGTH-NAMESPACE-NAME, with the length of
// the namespace, since both may hold hyphens. The admission policy netattachdefs.yaml builds the same name in CEL. One
// that is too long for a Network is shortened, and gets a hash; no pod can select it by the annotation of Multus.
func NetworkName(namespace, name string) string {
	whole := fmt.Sprintf("%s%d-%s-%s", namePrefix, len(namespace), namespace, name)
	if len(whole) <= maxNetworkName {
		return whole
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(namespace+"/"+name)))[:hashLength]
	return strings.TrimRight((namePrefix + "x-" + namespace + "-" + name)[:maxNetworkName-hashLength-1], "-") + "-" + hash
}

// Origin undoes NetworkName where it was not shortened.
func Origin(network string) (namespace, name string, found bool) {
	rest, ok := strings.CutPrefix(network, namePrefix)
	digits, rest, hasRest := strings.Cut(rest, "-")
	length, err := strconv.Atoi(digits)
	if !ok || !hasRest || err != nil || length < 1 || len(rest) < length+2 || rest[length] != '-' {
		return "", "", false
	}
	namespace, name = rest[:length], rest[length+1:]
	return namespace, name, NetworkName(namespace, name) == network
}

// SameSelection tells whether multinet.dev/networks selects what these elements of Multus' annotation do: the admission policy
// netattachdefs.yaml makes the one of the other.
func SameSelection(networks string, elements []npwg.Element) bool {
	selections, err := selection.Parse(networks)
	return err == nil && slices.EqualFunc(elements, selections, func(e npwg.Element, s selection.Selection) bool {
		return s == selection.Selection{Network: NetworkName(e.Namespace, e.Name), Interface: e.Interface, PodClaimName: s.PodClaimName}
	})
}

// StatusName is what network-status calls a Network: namespace/name where it stands for a NetworkAttachmentDefinition.
func StatusName(network string) string {
	if namespace, name, found := Origin(network); found {
		return namespace + "/" + name
	}
	return network
}

// namespaceSelector admits the definition's own namespace, and those that it allows.
func namespaceSelector(namespaces []string) *metav1.LabelSelector {
	if len(namespaces) == 1 {
		return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespaces[0]}}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: namespaces},
	}}
}
