package decide

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// DerivedNetwork is the Network that stands for a NetworkAttachmentDefinition, in a namespace with the labels. Where there can be
// none it is nil, and the text says why, and where in the definition. What the API server would fill in is set, so that it can be compared.
func DerivedNetwork(d *netattach.NetworkAttachmentDefinition, labels map[string]string) (*v1alpha1.Network, netattach.Verdict, string) {
	t := netattach.Translate(d.Definition())
	switch {
	case t.Verdict == netattach.Delegated && labels[netattach.LabelPlugins] != netattach.LabelPluginsAllowed:
		return nil, t.Verdict, fmt.Sprintf("the CNI plugins %s have to do this, as root on nodes, for which the namespace needs the label %s=%s: %s",
			strings.Join(t.Types, ", "), netattach.LabelPlugins, netattach.LabelPluginsAllowed, reasons(t))
	case t.Verdict == netattach.Refused:
		return nil, t.Verdict, reasons(t)
	}
	network := &v1alpha1.Network{Spec: *t.Network}
	network.Name = netattach.NetworkName(d.Namespace, d.Name)
	network.Annotations = map[string]string{netattach.AnnotationOrigin: d.Namespace + "/" + d.Name}
	if ipam := network.Spec.IPAM; ipam != nil {
		if ipam.Quarantine == nil {
			ipam.Quarantine = &metav1.Duration{Duration: DefaultQuarantine}
		}
		ipam.Retention = &metav1.Duration{Duration: defaultRetention}
	}
	return network, t.Verdict, ""
}

// WithoutNetwork tells why no Network stands for a NetworkAttachmentDefinition of a namespace with the labels. The definition is nil
// where there is none.
func WithoutNetwork(namespace, name string, d *netattach.NetworkAttachmentDefinition, labels map[string]string) string {
	what := fmt.Sprintf("NetworkAttachmentDefinition %s/%s", namespace, name)
	if labels[netattach.LabelDefinitions] != netattach.LabelDefinitionsNative {
		return fmt.Sprintf("no Network stands for %s: its namespace lacks the label %s=%s", what, netattach.LabelDefinitions, netattach.LabelDefinitionsNative)
	}
	if d == nil {
		return fmt.Sprintf("%s does not exist; create it or correct the annotation %s", what, npwg.AnnotationNetworks)
	}
	if network, _, text := DerivedNetwork(d, labels); network == nil {
		return fmt.Sprintf("no Network stands for %s: %s", what, text)
	}
	return what + " has no Network yet; where that does not change, its events say why"
}

func reasons(t netattach.Translation) string {
	var all []string
	for _, r := range t.Reasons {
		text := "spec.config " + r.At.String() + ": "
		if r.Path != "" {
			text += r.Path + ": "
		}
		all = append(all, text+r.Text)
	}
	return strings.Join(all, "; ")
}
