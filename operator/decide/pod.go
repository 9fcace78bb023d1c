package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// PodSnapshot is everything that planning a pod looks at. A Network or QoSClass that does not exist is absent. All that exist
// are there where ChoosesByClass holds.
type PodSnapshot struct {
	Pod             *corev1.Pod
	NamespaceLabels map[string]string
	Networks        map[string]*v1alpha1.Network
	// WithoutNetwork tells why others are not there, of those that would stand for NetworkAttachmentDefinitions of the pod's namespace.
	// What other namespaces have is not told.
	WithoutNetwork map[string]string
	QoSClasses     map[string]*v1alpha1.QoSClass
	// Claims for the pod's name; others do no harm.
	Claims []*v1alpha1.AddressClaim
	// DeviceClaims are the entries of spec.resourceClaims that the pod's user wrote and that it selects, by name, and when the
	// pod has a node those by which it selects a class. Those whose interfaces are all in Attached may be left out.
	DeviceClaims map[string]DeviceClaim
	// Attached are the attachments that exist, by interface.
	Attached map[string]*v1alpha1.PodNetworkAttachment
	// Slices of our driver and Quotas of the pod's namespace are needed for pods that were edited.
	Slices []resourcev1.ResourceSlice
	Quotas []corev1.ResourceQuota
}

// Planned is one interface that the pod is to get.
type Planned struct {
	Selection selection.Selection
	Network   *v1alpha1.Network
	// QoS is nil where neither the selection nor the Network names a class.
	QoS *v1alpha1.QoSClass
	// Routes of the Network, on its first interface in the pod: the kernel has one route to a destination.
	Routes []v1alpha1.Route
	// Rack is set when the attachment is made, where the Network has racks.
	Rack *v1alpha1.AttachmentRack
	// Claim is the AddressClaim of the interface, nil where there is none.
	Claim *v1alpha1.AddressClaim
	// Asked is what the pod itself asks for in the JSON form of Multus' annotation, nil for nothing that has to be looked for.
	Asked *Asked
	// DefaultRoute are the gateways by which its default routes are to go, empty for those of its addresses, nil for no such wish.
	DefaultRoute []netip.Addr
	// CNIArguments are what it asks of CNI plugins there, nil for nothing.
	CNIArguments *v1alpha1.CNIArguments
	// ResourceIndex is which of the pod's devices of the Network's spec.cni.resourceName it gets, nil where it needs none.
	ResourceIndex *int32
	// Outdated is why the operator's own Claim cannot be kept: it is to be made anew.
	Outdated string
	// Offers are the Networks that the scheduler chooses from, or has chosen from, where the pod selects a class. Choice, which
	// says why it is this one, is set when the attachment is made.
	Offers []Offer
	Choice *v1alpha1.NetworkChoice
}

// Refusal says why a pod cannot have its networks now. It is the reason and message of an event and of the
// condition multinet.dev/planned, so the message says what to do.
type Refusal struct{ Reason, Message string }

// Plan returns what the pod is to get in the order of its selection, or the first reason why it cannot. Of a pod that was edited
// while it runs it returns both, what it has first. Whether addresses are left is not decided here.
func Plan(s PodSnapshot) ([]Planned, *Refusal) {
	selections, err := selection.Parse(s.Pod.Annotations[v1alpha1.AnnotationNetworks])
	if err != nil {
		return nil, &Refusal{v1alpha1.ReasonMalformedSelection,
			err.Error() + "; write network[@interface][:qosclass], or claim=entry/request in the place of network, or class=qosclass[@interface], separated by commas"}
	}
	if len(selections) == 0 {
		return nil, nil
	}
	if refusal := checkPod(s.Pod); refusal != nil {
		return nil, refusal
	}
	if Edited(s.Pod) {
		return s.planEdited(selections)
	}
	if refusal := checkClaims(s.Pod, selections); refusal != nil {
		return nil, refusal
	}
	return s.planAll(selections)
}

func (s PodSnapshot) planAll(selections []selection.Selection) ([]Planned, *Refusal) {
	planned := make([]Planned, 0, len(selections))
	for _, sel := range selections {
		p, refusal := s.plan(sel)
		if refusal != nil {
			return nil, refusal
		}
		planned = append(planned, p)
	}
	if refusal := s.assignRoutes(planned); refusal != nil {
		return nil, refusal
	}
	if refusal := s.assignClaims(planned); refusal != nil {
		return nil, refusal
	}
	if refusal := s.assignAsked(planned); refusal != nil {
		return nil, refusal
	}
	if refusal := s.assignDevices(planned); refusal != nil {
		return nil, refusal
	}
	return planned, nil
}

// assignRoutes gives each Network's routes to its first interface, and refuses two Networks that route one destination. The
// scheduler may choose any Network that is offered, so each has to go with all others.
func (s PodSnapshot) assignRoutes(planned []Planned) *Refusal {
	type router struct {
		element int
		network string
	}
	routers := map[string][]router{}
	for i, p := range planned {
		for _, network := range s.networksOf(p) {
			for _, route := range network.Spec.Routes {
				others := routers[route.To]
				if k := slices.IndexFunc(others, func(o router) bool { return o.element != i && o.network != network.Name }); k >= 0 {
					return &Refusal{v1alpha1.ReasonRouteConflict, fmt.Sprintf(
						"Networks %q and %q both have a route to %s, and a pod can have one; select one of them or change spec.routes of a Network",
						others[k].network, network.Name, route.To)}
				}
				if len(others) == 0 && network.Name == p.Network.Name {
					planned[i].Routes = append(planned[i].Routes, route)
				}
				routers[route.To] = append(others, router{i, network.Name})
			}
		}
	}
	return nil
}

// networksOf are those that a planned interface may be on.
func (s PodSnapshot) networksOf(p Planned) (networks []*v1alpha1.Network) {
	if s.Pod.Spec.NodeName != "" || len(p.Offers) == 0 {
		return []*v1alpha1.Network{p.Network}
	}
	for _, o := range p.Offers {
		networks = append(networks, o.Network)
	}
	return networks
}

// plan checks every Network that the selection may be on, and returns the first choice.
func (s PodSnapshot) plan(sel selection.Selection) (first Planned, _ *Refusal) {
	choices, refusal := s.choices(sel)
	if refusal != nil {
		return Planned{}, refusal
	}
	for i, c := range choices {
		p, refusal := s.planOn(sel, c)
		if refusal != nil {
			return Planned{}, refusal
		}
		if i == 0 {
			first = p
		}
	}
	first.Offers = s.offersTo(first)
	return first, nil
}

func (s PodSnapshot) planOn(sel selection.Selection, c choice) (Planned, *Refusal) {
	network := s.Networks[c.network]
	// What a pod has it keeps, whatever becomes of the Network.
	if network == nil || !s.isOn(network, sel.Interface) {
		if refusal := s.checkNetwork(c.network, network); refusal != nil {
			return Planned{}, refusal
		}
	}
	p := Planned{Selection: sel, Network: network}
	if class := QoSClassName(sel, network); class != "" {
		p.QoS = s.QoSClasses[class]
		if refusal := s.refuseClass(p, class); refusal != nil {
			return p, refusal
		}
	}
	if problem := c.shortOf(network, p.QoS); sel.OwnClaim() && problem != "" {
		return p, s.DeviceClaims[sel.PodClaimName].refuse(sel, v1alpha1.ReasonInvalidResourceClaim, problem)
	}
	return p, nil
}

// isOn tells whether the pod has the interface on the network, and goes on having it.
func (s PodSnapshot) isOn(network *v1alpha1.Network, iface string) bool {
	made := s.Attached[iface]
	return made != nil && made.Spec.NetworkName == network.Name && !isGoing(made)
}

func (s PodSnapshot) refuseClass(p Planned, class string) *Refusal {
	if s.Attached[p.Selection.Interface] == nil {
		if refusal := checkClass(class, p.QoS, p.Network); refusal != nil {
			return refusal
		}
	}
	switch {
	case p.QoS != nil:
		return nil
	case p.Selection.QoSClass == "":
		return &Refusal{v1alpha1.ReasonUnknownQoSClass, fmt.Sprintf(
			"Network %q names QoSClass %q, which does not exist; create it or change spec.qosClassName of the Network", p.Network.Name, class)}
	}
	return &Refusal{v1alpha1.ReasonUnknownQoSClass, fmt.Sprintf(
		"QoSClass %q does not exist; create it or select another class for network %q", class, p.Network.Name)}
}

// QoSClassName is the class that a selection ends up with, or "".
func QoSClassName(sel selection.Selection, network *v1alpha1.Network) string {
	if sel.QoSClass != "" {
		return sel.QoSClass
	}
	return network.Spec.QoSClassName
}

func (s PodSnapshot) checkNetwork(name string, network *v1alpha1.Network) *Refusal {
	if network == nil {
		if text, known := s.WithoutNetwork[name]; known {
			return &Refusal{v1alpha1.ReasonUnknownNetwork, text}
		}
		if namespace, definition, found := netattach.Origin(name); found {
			return &Refusal{v1alpha1.ReasonUnknownNetwork, fmt.Sprintf(
				"NetworkAttachmentDefinition %s/%s does not exist, its namespace lacks the label %s=%s, or no Network can stand for it, as its events say",
				namespace, definition, netattach.LabelDefinitions, netattach.LabelDefinitionsNative)}
		}
		return &Refusal{v1alpha1.ReasonUnknownNetwork, fmt.Sprintf(
			"Network %q does not exist; create it or correct the annotation %s, or the claim that it names", name, v1alpha1.AnnotationNetworks)}
	}
	if !network.DeletionTimestamp.IsZero() {
		return &Refusal{v1alpha1.ReasonNetworkDeleting, fmt.Sprintf(
			"Network %q is being deleted and takes no new pods; select another one, or create it again once it is gone", name)}
	}
	if problem := CheckNetwork(network); problem != nil {
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, fmt.Sprintf(
			"Network %q cannot be used until its spec is corrected: %v", name, problem)}
	}
	selector, err := metav1.LabelSelectorAsSelector(network.Spec.NamespaceSelector)
	if network.Spec.NamespaceSelector == nil || err == nil && selector.Matches(labels.Set(s.NamespaceLabels)) {
		return nil
	}
	return &Refusal{v1alpha1.ReasonNotAdmitted, fmt.Sprintf(
		"Network %q does not admit namespace %q; label the namespace so that it matches %q, or change spec.namespaceSelector of the Network",
		name, s.Pod.Namespace, metav1.FormatLabelSelector(network.Spec.NamespaceSelector))}
}

// checkPod refuses pods that have no network namespace of their own or none that we can reach.
func checkPod(pod *corev1.Pod) *Refusal {
	refuse := func(kind string) *Refusal {
		return &Refusal{v1alpha1.ReasonUnsupportedPod, fmt.Sprintf(
			"%s cannot have additional networks; remove the annotation %s", kind, v1alpha1.AnnotationNetworks)}
	}
	switch _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; {
	case pod.Spec.HostNetwork:
		return refuse("a pod with hostNetwork")
	case mirror:
		return refuse("a static pod")
	case pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows:
		return refuse("a Windows pod")
	}
	return nil
}

// checkClaims refuses what the scheduler was not asked for: claims are those that the pod was created with.
func checkClaims(pod *corev1.Pod, selections []selection.Selection) *Refusal {
	selectedBy := map[string]string{}
	for _, sel := range selections {
		entry := PodClaim(pod, sel.PodClaimName)
		if sel.OwnClaim() {
			if refusal := checkEntry(sel, entry, selectedBy); refusal != nil {
				return refusal
			}
			continue
		}
		if entry == nil || entry.ResourceClaimTemplateName == nil || *entry.ResourceClaimTemplateName != templateOf(sel) {
			return &Refusal{v1alpha1.ReasonUnsupportedPod, fmt.Sprintf(
				"the pod was created without a claim for %s interface %s; create it again: the annotation %s "+
					"needs the admission policy pod-networks.%s when the pod is created",
				sel, sel.Interface, v1alpha1.AnnotationNetworks, v1alpha1.GroupName)}
		}
	}
	return nil
}

// templateOf is the name of the template that the claim of a network or class is made from.
func templateOf(sel selection.Selection) string {
	if sel.ByClass() {
		return v1alpha1.ClassTemplateName(sel.QoSClass)
	}
	return v1alpha1.ClaimTemplateName(sel.Network, sel.QoSClass)
}

// checkEntry notes who selects what of claims that have a name: two entries may name one claim.
func checkEntry(sel selection.Selection, entry *corev1.PodResourceClaim, selectedBy map[string]string) *Refusal {
	element := sel.Subject()
	if entry == nil {
		return &Refusal{v1alpha1.ReasonUnsupportedPod, fmt.Sprintf(
			"the pod has no entry %q in spec.resourceClaims, which %q selects; create it again with one", sel.PodClaimName, element)}
	}
	if entry.ResourceClaimName == nil {
		return nil
	}
	device := *entry.ResourceClaimName + "/" + sel.Request
	if other := selectedBy[device]; other != "" {
		return &Refusal{v1alpha1.ReasonUnsupportedPod, fmt.Sprintf(
			"%q and %q select one device, that of a request of ResourceClaim %q; create the pod again with one of them", other, element, *entry.ResourceClaimName)}
	}
	selectedBy[device] = element
	return nil
}

// PodClaim is an entry of the pod's spec.resourceClaims, nil where there is none of the name.
func PodClaim(pod *corev1.Pod, name string) *corev1.PodResourceClaim {
	i := slices.IndexFunc(pod.Spec.ResourceClaims, func(c corev1.PodResourceClaim) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &pod.Spec.ResourceClaims[i]
}

// Selected returns the pod's selections, none if they are malformed.
func Selected(pod *corev1.Pod) []selection.Selection {
	selections, _ := selection.Parse(pod.Annotations[v1alpha1.AnnotationNetworks])
	return selections
}

// AnyNetwork stands for all of them, those that do not exist yet as well.
const AnyNetwork = ""

// ChoosesByClass tells whether the pod selects a class for an interface that is not in attached.
func ChoosesByClass(pod *corev1.Pod, attached map[string]*v1alpha1.PodNetworkAttachment) bool {
	return slices.ContainsFunc(Selected(pod), func(s selection.Selection) bool { return s.ByClass() && attached[s.Interface] == nil })
}

// SelectedNetworks returns the names in the pod's selection without duplicates, none if it is malformed. Networks that a
// user's claim brings are not among them. AnyNetwork is, where the pod selects a class.
func SelectedNetworks(pod *corev1.Pod) []string {
	var names []string
	for _, s := range Selected(pod) {
		if !s.OwnClaim() {
			names = append(names, s.Network)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Selects tells whether the pod has a selection, well-formed or not, or may have had one.
func Selects(pod metav1.Object) bool {
	return strings.TrimSpace(pod.GetAnnotations()[v1alpha1.AnnotationNetworks]) != "" || Edited(pod)
}

// Lingers tells whether the pod's containers will never run again while the pod stays. A pod that is about to go
// takes its attachments along by garbage collection: deleting them as well is a write for nothing, and every pod
// whose container dies of the signal is Failed for a moment.
func Lingers(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	going := !pod.DeletionTimestamp.IsZero() && len(pod.Finalizers) == 0
	return ended && !going
}
