package lint

import (
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Write prints the judgements, one line for each object and each remark, and a line that counts the verdicts.
func Write(w io.Writer, judgements []Judgement) {
	counts := map[netattach.Verdict]int{}
	for _, j := range judgements {
		counts[j.Verdict]++
		o := j.Object
		fmt.Fprintf(w, "%s: %s %s/%s: %s: %s\n", j.at(), o.Kind, o.Namespace, o.Name, j.Verdict, j.Text)
		for _, r := range j.Reasons {
			fmt.Fprintf(w, "%s:   reason: %s\n", r.At, r.Text)
		}
		for _, n := range j.Notes {
			fmt.Fprintf(w, "%s:   note: %s\n", n.At, n.Text)
		}
	}
	fmt.Fprintf(w, "%d objects: %d native, %d delegated, %d refused, %d unknown\n", len(judgements),
		counts[netattach.Native], counts[netattach.Delegated], counts[netattach.Refused], counts[unknown])
}

// at is where the object says what is judged.
func (j Judgement) at() fmt.Stringer {
	switch o := j.Object; {
	case o.Definition != nil:
		return o.Definition.Config.At
	case o.Pod.Networks != nil:
		return o.Pod.Networks.At
	default:
		return o.Pod.Default.At
	}
}

// WriteNetworks prints the Networks of the definitions that get one as YAML documents, and for every other object nothing.
func WriteNetworks(w io.Writer, judgements []Judgement) error {
	for _, j := range judgements {
		if j.Network == nil {
			continue
		}
		document, err := networkYAML(j)
		if err != nil {
			return fmt.Errorf("NetworkAttachmentDefinition %s/%s: writing its Network: %w", j.Object.Namespace, j.Object.Name, err)
		}
		fmt.Fprintf(w, "---\n# NetworkAttachmentDefinition %s/%s\n%s", j.Object.Namespace, j.Object.Name, document)
	}
	return nil
}

// networkYAML leaves out the status, which users do not write.
func networkYAML(j Judgement) ([]byte, error) {
	return yaml.Marshal(struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string    `json:"metadata"`
		Spec            v1alpha1.NetworkSpec `json:"spec"`
	}{
		metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Network"},
		map[string]string{"name": netattach.NetworkName(j.Object.Namespace, j.Object.Name)},
		*j.Network.Network,
	})
}
