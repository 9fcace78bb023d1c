package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Offer is a Network that a pod which selects a class may get.
type Offer struct {
	Name string
	// Network is nil where it is gone.
	Network *v1alpha1.Network
}

// Offers are the Networks that a pod of the namespace which selects the class may get, the cheapest first, as many as a claim
// can list. Each allows the class and can enforce it, admits the namespace, and has an address left. The snapshot has all Networks and QoSClasses.
func (s PodSnapshot) Offers(class string) (offers []Offer, _ *Refusal) {
	switch qos := s.QoSClasses[class]; {
	case qos == nil:
		return nil, &Refusal{v1alpha1.ReasonUnknownQoSClass, fmt.Sprintf("QoSClass %q does not exist; create it or select another class", class)}
	case !qos.DeletionTimestamp.IsZero():
		return nil, &Refusal{v1alpha1.ReasonQoSClassDeleting, fmt.Sprintf(
			"QoSClass %q is being deleted and takes no new pods; select another one, or create it again once it is gone", class)}
	}
	var closed []string
	for name, network := range s.Networks {
		if !AllowsClass(network, class) {
			continue
		}
		if why := s.closed(network); why != "" {
			closed = append(closed, why)
			continue
		}
		offers = append(offers, Offer{name, network})
	}
	if len(offers) == 0 {
		return nil, notOffered(class, closed)
	}
	slices.SortFunc(offers, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(s.cost(a.Network), s.cost(b.Network)), strings.Compare(a.Name, b.Name))
	})
	return offers[:min(len(offers), resourcev1.FirstAvailableDeviceRequestMaxSize)], nil
}

func notOffered(class string, closed []string) *Refusal {
	message := fmt.Sprintf("no Network that the pod may be on has QoSClass %q; name it in spec.qosClassName or spec.allowedQoSClasses of one", class)
	if len(closed) > 0 {
		message += ". Those that have it: " + some(closed)
	}
	return &Refusal{v1alpha1.ReasonClassNotOffered, message}
}

// closed tells why no new pod of the namespace can get the Network, or "". The scheduler does not know of addresses.
func (s PodSnapshot) closed(network *v1alpha1.Network) string {
	if refusal := s.checkNetwork(network.Name, network); refusal != nil {
		return refusal.Message
	}
	if Exhausted(network) {
		return fmt.Sprintf("Network %q has no address left", network.Name)
	}
	if whole := wholeBy(network); whole != "" {
		return fmt.Sprintf("Network %q is %s, where no class can be enforced", network.Name, whole)
	}
	return ""
}

// Exhausted tells whether the Network's status says that it has no address for another pod.
func Exhausted(network *v1alpha1.Network) bool {
	ready := meta.FindStatusCondition(network.Status.Conditions, v1alpha1.NetworkConditionReady)
	return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == v1alpha1.ReasonRangeExhausted
}

// cost is that of the Network, or else of its default class.
func (s PodSnapshot) cost(network *v1alpha1.Network) int32 {
	if network.Spec.Cost != nil {
		return *network.Spec.Cost
	}
	if class := s.QoSClasses[network.Spec.QoSClassName]; class != nil {
		return class.Spec.Cost
	}
	return 0
}

// offersTo are the Networks that the scheduler is to choose from, or has chosen from when the pod has a node. There are none
// where the pod names its Network or has its attachment.
func (s PodSnapshot) offersTo(p Planned) (offers []Offer) {
	sel := p.Selection
	if _, made := s.Attached[sel.Interface]; made || !sel.ByClass() {
		return nil
	}
	if s.Pod.Spec.NodeName == "" {
		offers, _ = s.Offers(sel.QoSClass)
		return offers
	}
	asked, _ := requested(s.DeviceClaims[sel.PodClaimName].Spec, claimRequest)
	for _, c := range asked {
		offers = append(offers, Offer{c.network, s.Networks[c.network]})
	}
	return offers
}

// ClassTemplate is what pods of a namespace claim that select the class.
func ClassTemplate(namespace string, class *v1alpha1.QoSClass, offers []Offer) *resourcev1.ResourceClaimTemplate {
	return &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      v1alpha1.ClassTemplateName(class.Name),
			Labels:    map[string]string{LabelNetwork: "", LabelQoSClass: class.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "QoSClass", Name: class.Name, UID: class.UID,
			}},
		},
		Spec: resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{Devices: choiceDevices(offers, class)}},
	}
}

// choiceDevices is a request with one alternative for each offer. All of them have one request for bandwidth, since the
// constraint holds for whichever is allocated: on macvlan that is the same device once more.
func choiceDevices(offers []Offer, class *v1alpha1.QoSClass) resourcev1.DeviceClaim {
	carrier := resourcev1.DeviceRequest{Name: claimRequest}
	for _, o := range offers {
		carrier.FirstAvailable = append(carrier.FirstAvailable, resourcev1.DeviceSubRequest{
			Name: o.Name, DeviceClassName: v1alpha1.DeviceClassName(o.Name), AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1,
		})
	}
	if guaranteed := capacity(class); guaranteed != nil {
		return withBandwidth(carrier, guaranteed)
	}
	return resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{carrier}}
}

// Choice says why a pod on a node has the Network that it has: what keeps it there from those that are cheaper. booked leaves
// out the pod's own claims. Of a pod that has the cheapest no devices are looked at.
func Choice(p Planned, node string, published []resourcev1.ResourceSlice, booked map[DeviceKey]Rates) *v1alpha1.NetworkChoice {
	here := room{booked: booked, where: fmt.Sprintf("on node %q", node)}
	for _, slice := range published {
		if slice.Spec.NodeName != nil && *slice.Spec.NodeName == node {
			here.published = append(here.published, slice)
		}
	}
	choice := &v1alpha1.NetworkChoice{}
	var cheaper []string
	found := false
	for _, o := range p.Offers {
		choice.Offered = append(choice.Offered, o.Name)
		if found = found || o.Name == p.Network.Name; !found {
			cheaper = append(cheaper, here.inTheWay(o, p.QoS))
		}
	}
	switch {
	case len(choice.Offered) == 1:
		choice.Message = "No other Network was offered to the pod with this class."
	case len(cheaper) == 0:
		choice.Message = "It is the cheapest of those that were offered."
	default:
		choice.Message = fmt.Sprintf("The scheduler could not give a cheaper one on node %q: %s.", node, strings.Join(cheaper, "; "))
	}
	return choice
}

// inTheWay is what keeps a pod from an offer, for itself alone.
func (r room) inTheWay(o Offer, class *v1alpha1.QoSClass) string {
	r.taken = map[[2]string]Rates{}
	if o.Network == nil {
		return fmt.Sprintf("Network %q is gone", o.Name)
	}
	if _, why := r.nodes(o.Network, class); why != "" {
		return why
	}
	return fmt.Sprintf("Network %q has room there now, but for what the pod itself has", o.Name)
}
