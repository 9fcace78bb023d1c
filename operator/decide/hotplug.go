package decide

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Edited tells whether the pod's selection was changed while it ran. What was added has no claim, since a pod's claims are
// those of its creation, and what was taken out has one still.
func Edited(pod metav1.Object) bool {
	_, noted := pod.GetAnnotations()[v1alpha1.AnnotationAtCreation]
	return noted
}

// Unselected are the attachments that a pod has and, since it was edited, selects no more.
func (s PodSnapshot) Unselected() (list []*v1alpha1.PodNetworkAttachment) {
	selections, err := selection.Parse(s.Pod.Annotations[v1alpha1.AnnotationNetworks])
	if err != nil || !Edited(s.Pod) {
		return nil
	}
	for _, pna := range s.Attached {
		if !slices.ContainsFunc(selections, func(sel selection.Selection) bool { return serves(pna, sel) }) {
			list = append(list, pna)
		}
	}
	slices.SortFunc(list, func(a, b *v1alpha1.PodNetworkAttachment) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// serves tells whether an attachment is what a selection asks for. By which of the pod's claims does not count: claims of one
// Network are alike, and are numbered by the position that an element had when the pod was created.
func serves(pna *v1alpha1.PodNetworkAttachment, sel selection.Selection) bool {
	spec := &pna.Spec
	if string(spec.Interface) != sel.Interface {
		return false
	}
	switch {
	case sel.OwnClaim():
		return spec.PodClaimName == sel.PodClaimName && spec.Request == sel.Request
	case sel.ByClass():
		return spec.Choice != nil && spec.QoS != nil && spec.QoS.ClassName == sel.QoSClass
	}
	return spec.NetworkName == sel.Network && (spec.PodClaimName == "" || strings.HasPrefix(spec.PodClaimName, v1alpha1.PodClaimPrefix))
}

func isGoing(pna *v1alpha1.PodNetworkAttachment) bool {
	return !pna.DeletionTimestamp.IsZero() || pna.Spec.Detach
}

// planEdited returns what an edited pod has and is to get, and the first reason why it cannot get an element. The others go on,
// since the pod runs. What waits for an attachment to go is left out: its end wakes the pod.
func (s PodSnapshot) planEdited(selections []selection.Selection) (planned []Planned, refused *Refusal) {
	var kept []selection.Selection
	entries := map[string]string{}
	for _, sel := range s.attachedFirst(selections) {
		if made := s.Attached[sel.Interface]; made != nil && (!serves(made, sel) || isGoing(made)) {
			continue
		}
		sel, waits := s.claimed(sel)
		if waits {
			continue
		}
		next, refusal := s.planBeside(kept, sel, entries)
		switch {
		case refusal == nil:
			planned, kept = next, append(kept, sel)
		case refused == nil:
			refused = refusal
		}
	}
	return planned, refused
}

// attachedFirst has what the pod is attached to keep its routes.
func (s PodSnapshot) attachedFirst(selections []selection.Selection) []selection.Selection {
	first := slices.Clone(selections)
	slices.SortStableFunc(first, func(a, b selection.Selection) int {
		madeA, madeB := s.Attached[a.Interface] != nil, s.Attached[b.Interface] != nil
		switch {
		case madeA == madeB:
			return 0
		case madeA:
			return -1
		}
		return 1
	})
	return first
}

// planBeside plans one more element beside others that can be had.
func (s PodSnapshot) planBeside(kept []selection.Selection, sel selection.Selection, entries map[string]string) ([]Planned, *Refusal) {
	made := s.Attached[sel.Interface]
	if sel.OwnClaim() && made == nil {
		if refusal := checkEntry(sel, PodClaim(s.Pod, sel.PodClaimName), entries); refusal != nil {
			return nil, refusal
		}
	}
	if sel.ByClass() && sel.PodClaimName == "" {
		return nil, &Refusal{v1alpha1.ReasonNeedsScheduling, fmt.Sprintf(
			"%s interface %s cannot be added to a pod that runs: the scheduler chooses it, and has placed the pod already; select a network by its name, or create the pod anew with it",
			sel, sel.Interface)}
	}
	planned, refusal := s.planAll(slices.Concat(kept, []selection.Selection{sel}))
	if refusal != nil {
		return nil, refusal
	}
	p := planned[len(planned)-1]
	switch {
	case made != nil:
		return planned, reclassed(made, p)
	case sel.PodClaimName == "":
		return planned, s.unclaimed(p)
	}
	return planned, nil
}

// claimed finds the claim of the pod that can carry an element: one of the Network and class that carries no interface. Where
// there is none the element has none, and where one is about to come free it waits.
func (s PodSnapshot) claimed(sel selection.Selection) (_ selection.Selection, waits bool) {
	if sel.OwnClaim() {
		return sel, false
	}
	if made := s.Attached[sel.Interface]; made != nil {
		sel.PodClaimName = made.Spec.PodClaimName
		return sel, false
	}
	carries := map[string]*v1alpha1.PodNetworkAttachment{}
	for _, pna := range s.Attached {
		carries[pna.Spec.PodClaimName] = pna
	}
	unselected := s.Unselected()
	template := templateOf(sel)
	sel.PodClaimName = ""
	for _, entry := range s.Pod.Spec.ResourceClaims {
		if !strings.HasPrefix(entry.Name, v1alpha1.PodClaimPrefix) || entry.ResourceClaimTemplateName == nil || *entry.ResourceClaimTemplateName != template {
			continue
		}
		pna := carries[entry.Name]
		if pna == nil {
			sel.PodClaimName = entry.Name
			return sel, false
		}
		waits = waits || isGoing(pna) || slices.Contains(unselected, pna)
	}
	return sel, waits
}

// reclassed refuses another class for an interface that is there: its claim and its queues are those of the class that it has.
func reclassed(made *v1alpha1.PodNetworkAttachment, p Planned) *Refusal {
	has, wanted := "none", "none"
	if made.Spec.QoS != nil {
		has = made.Spec.QoS.ClassName
	}
	if p.QoS != nil {
		wanted = p.QoS.Name
	}
	if has == wanted {
		return nil
	}
	return &Refusal{v1alpha1.ReasonQoSClassNotAllowed, fmt.Sprintf(
		"network %q interface %s has QoSClass %s, and the pod now selects %s; an interface keeps its class: take the element out of the annotation %s, and add it again when the interface is gone",
		p.Network.Name, p.Selection.Interface, has, wanted, v1alpha1.AnnotationNetworks)}
}

// unclaimed tells why an element without a claim cannot be had on the node that the pod is on.
func (s PodSnapshot) unclaimed(p Planned) *Refusal {
	what := fmt.Sprintf("network %q interface %s", p.Network.Name, p.Selection.Interface)
	needs := func(problem string) *Refusal {
		return &Refusal{v1alpha1.ReasonNeedsScheduling, fmt.Sprintf("%s cannot be added to a pod that runs: %s; create the pod anew with it", what, problem)}
	}
	switch network := p.Network; {
	case kindOf(network) == v1alpha1.DeviceKindVF:
		return needs("a virtual function is set aside by the scheduler, which has placed the pod already")
	case network.Spec.CNI != nil:
		return needs("its CNI plugins are called when the pod's sandbox is made")
	case takesWhole(network):
		return needs("a Network " + wholeBy(network) + " takes the uplink for one pod")
	case Guaranteed(p.QoS) != Rates{}:
		return needs(fmt.Sprintf("QoSClass %q guarantees %s, which is set aside by the scheduler, and that has placed the pod already; or select a class without a guarantee",
			p.QoS.Name, Guaranteed(p.QoS)))
	case quotaOn(network, s.Quotas) != "":
		return needs(fmt.Sprintf("ResourceQuota %q limits the claims for it, and the interface would have none", quotaOn(network, s.Quotas)))
	case !MatchingNodes(network, s.Slices)[s.Pod.Spec.NodeName]:
		return &Refusal{v1alpha1.ReasonNotOnNode, fmt.Sprintf(
			"%s cannot be had on node %q, where the pod runs: no NIC of the node is one that the Network selects; create the pod anew with it", what, s.Pod.Spec.NodeName)}
	}
	return nil
}

// quotaOn is the name of a quota that limits the devices of a Network, or "".
func quotaOn(network *v1alpha1.Network, quotas []corev1.ResourceQuota) string {
	limited := corev1.ResourceName(v1alpha1.DeviceClassName(network.Name) + ".deviceclass.resource.k8s.io/devices")
	for i := range quotas {
		if _, found := quotas[i].Spec.Hard[limited]; found {
			return quotas[i].Name
		}
	}
	return ""
}
