package lint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/kubectl-multinet/manifest"
)

// podJudge collects what there is to say about one pod. The worst that was found is the verdict.
type podJudge struct {
	Judgement
	pod *manifest.Pod
	// instead are the elements of multinet.dev/networks that select the same, adopted that the pod has them already.
	instead []string
	adopted bool
}

// severity orders verdicts.
var severity = map[netattach.Verdict]int{netattach.Native: 0, netattach.Delegated: 1, unknown: 2, netattach.Refused: 3}

func judgePod(o manifest.Object, known map[string]netattach.Translation) Judgement {
	j := &podJudge{Judgement: Judgement{Object: o, Verdict: netattach.Native}, pod: o.Pod}
	if d := o.Pod.Default; d != nil && !slices.Contains([]string{"", netstatus.DefaultNetwork}, strings.TrimSpace(d.Value)) {
		j.blame(netattach.Refused, d.Place(0), "%s: Multinet leaves the cluster's default network alone", npwg.AnnotationDefaultNetwork)
	}
	if o.Pod.HostNetwork {
		j.blame(netattach.Refused, o.At, "the pod has the node's network, to which nothing can be attached")
	}
	if o.Pod.Networks != nil {
		j.judgeSelection(o.Namespace, known)
	}
	switch {
	case j.Verdict == netattach.Native && j.adopted:
		j.Text = fmt.Sprintf("as it is: %s was made of it and says the same", v1alpha1.AnnotationNetworks)
	case j.Verdict == netattach.Native && len(j.instead) > 0:
		j.Text = fmt.Sprintf("%sselect the same with %s: %s", j.unchanged(), v1alpha1.AnnotationNetworks, strings.Join(j.instead, ", "))
	case j.Verdict == netattach.Native:
		j.Text = "selects nothing"
	case j.Verdict == netattach.Delegated:
		j.Text = "this needs CNI plugins, or what this version of Multinet does not do"
	case j.Verdict == unknown:
		j.Text = "selects what is not among the objects read"
	default:
		j.Text = "this cannot be had"
	}
	return j.Judgement
}

// unchanged says where the pod needs no change, if anywhere.
func (j *podJudge) unchanged() string {
	if j.pod.Own != nil || len(npwg.Unreadable(j.pod.Networks.Value)) > 0 {
		return ""
	}
	return fmt.Sprintf("as it is in a namespace with the label %s=%s; elsewhere ", netattach.LabelDefinitions, netattach.LabelDefinitionsNative)
}

func (j *podJudge) blame(verdict netattach.Verdict, at manifest.Place, format string, args ...any) {
	if severity[verdict] > severity[j.Verdict] {
		j.Verdict = verdict
	}
	j.Reasons = append(j.Reasons, Remark{At: at, Text: fmt.Sprintf(format, args...)})
}

func (j *podJudge) judgeSelection(namespace string, known map[string]netattach.Translation) {
	text := *j.pod.Networks
	elements, err := npwg.Parse(text.Value, namespace)
	if err != nil {
		j.judgeMalformed(text, err)
		return
	}
	if len(elements) > selection.MaxElements {
		j.blame(netattach.Delegated, text.Place(elements[selection.MaxElements].At.Offset), "element %d: a pod has at most %d networks",
			selection.MaxElements+1, selection.MaxElements)
	}
	for _, e := range npwg.Unreadable(text.Value) {
		j.Notes = append(j.Notes, Remark{At: text.Place(e.At.Offset), Text: fmt.Sprintf(
			"element %d: %s: %s, or the API server refuses the pod in a namespace with the label %s", e.Element, e.Key, e.Problem, netattach.LabelDefinitions)})
	}
	own := j.pod.Own
	j.adopted = own != nil && len(elements) > 0 && netattach.SameSelection(own.Value, elements)
	for i, e := range elements {
		j.judgeElement(text, i+1, e, known)
	}
	if own != nil && strings.TrimSpace(own.Value) != "" && !j.adopted {
		j.Notes = append(j.Notes, Remark{At: own.Place(0), Text: v1alpha1.AnnotationNetworks + " is there already: it alone counts, the two must become one"})
	}
}

func (j *podJudge) judgeMalformed(text manifest.Text, err error) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, one := range all {
		var e *npwg.Error
		if !errors.As(one, &e) {
			j.blame(netattach.Refused, text.At, "%v", one)
			continue
		}
		what := ""
		if e.Element > 0 {
			what = fmt.Sprintf("element %d: ", e.Element)
		}
		if e.Key != "" {
			what += e.Key + ": "
		}
		j.blame(netattach.Refused, text.Place(e.At.Offset), "%s%s", what, e.Problem)
	}
}

func (j *podJudge) judgeElement(text manifest.Text, n int, e npwg.Element, known map[string]netattach.Translation) {
	at, name := text.Place(e.At.Offset), e.Namespace+"/"+e.Name
	translation, found := known[name]
	switch {
	case !found:
		j.blame(unknown, at, "element %d: NetworkAttachmentDefinition %s was not read", n, name)
		return
	case translation.Verdict != netattach.Native:
		j.blame(translation.Verdict, at, "element %d: NetworkAttachmentDefinition %s is %s", n, name, translation.Verdict)
	}
	if translation.Network == nil {
		return
	}
	what := fmt.Sprintf("element %d: ", n)
	reasons, notes := netattach.Fit(e, translation.Network)
	for _, r := range reasons {
		// What plugins do not know Multus leaves out.
		verdict := netattach.Delegated
		if translation.Verdict == netattach.Delegated {
			verdict = netattach.Refused
		}
		j.blame(verdict, text.Place(r.At.Offset), "%s%s: %s", what, r.Path, r.Text)
	}
	if translation.Verdict != netattach.Native {
		j.Notes = append(j.Notes, remarks(text, what, notes)...)
		return
	}
	for _, key := range []string{"ips", "mac"} {
		if !j.adopted && (key == "ips" && len(e.IPs) > 0 || key == "mac" && e.MAC != nil) {
			how := "it is asked for by an AddressClaim, which names the pod"
			if key == "mac" && translation.Network.HostDevice != nil {
				how = "it cannot be had: the NIC keeps its own"
			}
			notes = append(notes, jsonpos.Problem{Path: key, At: e.Keys[key], Text: "with " + v1alpha1.AnnotationNetworks + " " + how})
		}
	}
	network := netattach.NetworkName(e.Namespace, e.Name)
	selector, err := metav1.LabelSelectorAsSelector(translation.Network.NamespaceSelector)
	if err != nil || !selector.Matches(labels.Set{corev1.LabelMetadataName: j.Object.Namespace}) {
		notes = append(notes, jsonpos.Problem{At: e.At, Text: fmt.Sprintf("annotation %s of NetworkAttachmentDefinition %s, or the namespaceSelector of your own Network, has to admit %s",
			netattach.AnnotationNamespaces, name, j.Object.Namespace)})
	}
	j.Notes = append(j.Notes, remarks(text, what, notes)...)
	j.instead = append(j.instead, network+"@"+e.Interface)
}
