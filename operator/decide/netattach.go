package decide

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// DerivedNetwork is the Network that stands for a NetworkAttachmentDefinition. Where there can be none it is nil, and the
// text says why, and where in the definition. What the API server would fill in is set, so that it can be compared.
func DerivedNetwork(d *netattach.NetworkAttachmentDefinition) (*v1alpha1.Network, netattach.Verdict, string) {
	t := netattach.Translate(d.Definition())
	if t.Verdict != netattach.Native {
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
