package decide

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// DeviceClaim is what stands behind an entry of a pod's spec.resourceClaims that its user wrote, or by which it selects a class.
type DeviceClaim struct {
	// Object is how messages call it, for example ResourceClaimTemplate "pair".
	Object string
	// Spec of the claim, or of the template until the pod has a node; nil where there is none.
	Spec *resourcev1.ResourceClaimSpec
	// Status is what the scheduler did for the claim.
	Status resourcev1.ResourceClaimStatus
}

// choice is a Network that an element may be on.
type choice struct {
	network string
	// ref is the request, or request/subrequest, of the user's claim, and capacity what it asks for. ref is empty where
	// the operator's own template asked, or where the attachment is made already.
	ref      string
	capacity map[resourcev1.QualifiedName]resource.Quantity
}

// Candidate is a Network that an element of a pod's selection may be on.
type Candidate struct {
	Selection selection.Selection
	Network   string
}

// Candidates are those of all elements as far as they are known; what is wrong with an element is told by Plan.
func (s PodSnapshot) Candidates() (all []Candidate) {
	for _, sel := range Selected(s.Pod) {
		choices, _ := s.choices(sel)
		for _, c := range choices {
			all = append(all, Candidate{Selection: sel, Network: c.network})
		}
	}
	return all
}

// choices is the one step that tells which Network an element is on. A name stands for itself. A request of a user's claim
// stands for every Network whose DeviceClass it names until the pod has a node, and then for the one that was allocated; and
// a class for every Network that offers it.
func (s PodSnapshot) choices(sel selection.Selection) (choices []choice, _ *Refusal) {
	if sel.Network != "" {
		return []choice{{network: sel.Network}}, nil
	}
	if made := s.Attached[sel.Interface]; made != nil && serves(made, sel) {
		return []choice{{network: made.Spec.NetworkName}}, nil
	}
	if sel.ByClass() && s.Pod.Spec.NodeName == "" {
		offers, refusal := s.Offers(sel.QoSClass)
		for _, o := range offers {
			choices = append(choices, choice{network: o.Name})
		}
		return choices, refusal
	}
	claim := s.DeviceClaims[sel.PodClaimName]
	switch {
	case claim.Spec == nil && sel.ByClass():
		return nil, claim.refuse(sel, v1alpha1.ReasonResourceClaimNotReady, "does not exist yet")
	case claim.Spec == nil:
		return nil, claim.refuse(sel, v1alpha1.ReasonResourceClaimNotReady, "does not exist; create it")
	}
	choices, problem := requested(claim.Spec, requestOf(sel))
	if problem != "" {
		return nil, claim.refuse(sel, v1alpha1.ReasonInvalidResourceClaim, problem)
	}
	if s.Pod.Spec.NodeName == "" {
		return choices, nil
	}
	return claim.chosen(s.Pod, sel, choices)
}

func (c DeviceClaim) refuse(sel selection.Selection, reason, problem string) *Refusal {
	return &Refusal{reason, fmt.Sprintf("%s, which %q selects, %s", c.Object, sel.Subject(), problem)}
}

// requested are the alternatives of a request in the order of its user's preference, or a problem. Each must be one device of
// a Network, since the scheduler may choose any.
func requested(spec *resourcev1.ResourceClaimSpec, name string) (choices []choice, problem string) {
	for _, config := range spec.Devices.Config {
		if config.Opaque != nil && config.Opaque.Driver == v1alpha1.DriverName {
			return nil, "has parameters for driver " + v1alpha1.DriverName + ", which takes none; remove them: a Network says how its interfaces are"
		}
	}
	var names []string
	for _, request := range spec.Devices.Requests {
		if names = append(names, request.Name); request.Name != name {
			continue
		}
		if exactly := request.Exactly; exactly != nil {
			if exactly.AdminAccess != nil && *exactly.AdminAccess {
				return nil, "asks for adminAccess, by which the device stays somebody else's; remove it"
			}
			return appendChoice(nil, name, exactly.DeviceClassName, exactly.AllocationMode, exactly.Count, exactly.Capacity)
		}
		for _, sub := range request.FirstAvailable {
			ref := resourceclaim.CreateSubRequestRef(name, sub.Name)
			if choices, problem = appendChoice(choices, ref, sub.DeviceClassName, sub.AllocationMode, sub.Count, sub.Capacity); problem != "" {
				return nil, problem
			}
		}
		return choices, ""
	}
	return nil, fmt.Sprintf("has no request %q, only %s; correct the annotation %s", name, strings.Join(names, ", "), v1alpha1.AnnotationNetworks)
}

func appendChoice(choices []choice, ref, class string, mode resourcev1.DeviceAllocationMode, count int64, asked *resourcev1.CapacityRequirements) ([]choice, string) {
	network := v1alpha1.NetworkOfDeviceClass(class)
	switch {
	case network == "":
		return nil, fmt.Sprintf("asks in %q for DeviceClass %q, which is not that of a Network; name %s there, or leave the element out",
			ref, class, v1alpha1.DeviceClassName("<network>"))
	case mode != "" && mode != resourcev1.DeviceAllocationModeExactCount || count > 1:
		return nil, fmt.Sprintf("asks in %q for more than one device; write a request and an element for each interface", ref)
	}
	c := choice{network: network, ref: ref}
	if asked != nil {
		c.capacity = asked.Requests
	}
	return append(choices, c), ""
}

// chosen is the alternative that the scheduler allocated for the pod, and for no other: one device is the interface of one pod.
func (c DeviceClaim) chosen(pod *corev1.Pod, sel selection.Selection, choices []choice) ([]choice, *Refusal) {
	allocation, pods := c.Status.Allocation, c.Status.ReservedFor
	switch {
	case allocation == nil:
		return nil, c.refuse(sel, v1alpha1.ReasonResourceClaimNotReady,
			"is not allocated, so the pod got its node without the scheduler; create the pod without spec.nodeName")
	case len(pods) > 1:
		return nil, c.refuse(sel, v1alpha1.ReasonResourceClaimNotReady, fmt.Sprintf(
			"is reserved for %d pods, and its device can be the interface of one; give each pod a claim of its own with a ResourceClaimTemplate", len(pods)))
	case len(pods) == 0 || pods[0].UID != pod.UID:
		return nil, c.refuse(sel, v1alpha1.ReasonResourceClaimNotReady, "is not reserved for the pod")
	}
	var results []resourcev1.DeviceRequestAllocationResult
	for _, result := range allocation.Devices.Results {
		if resourceclaim.BaseRequestRef(result.Request) == requestOf(sel) {
			results = append(results, result)
		}
	}
	if len(results) != 1 {
		return nil, c.refuse(sel, v1alpha1.ReasonInvalidResourceClaim, fmt.Sprintf("was allocated %d devices, not one", len(results)))
	}
	result := results[0]
	if result.Driver != v1alpha1.DriverName || result.Pool != pod.Spec.NodeName || result.AdminAccess != nil && *result.AdminAccess {
		return nil, c.refuse(sel, v1alpha1.ReasonInvalidResourceClaim, fmt.Sprintf("was allocated device %s/%s/%s, which is none of node %s that a pod can have",
			result.Driver, result.Pool, result.Device, pod.Spec.NodeName))
	}
	for _, alternative := range choices {
		if alternative.ref != result.Request {
			continue
		}
		if result.ConsumedCapacity != nil {
			alternative.capacity = result.ConsumedCapacity
		}
		return []choice{alternative}, nil
	}
	return nil, c.refuse(sel, v1alpha1.ReasonInvalidResourceClaim, fmt.Sprintf("was allocated for %q, which it does not ask for", result.Request))
}

// shortOf tells what a user's claim lacks of what the class guarantees and the Network takes, or "": nobody else asks the scheduler
// for it.
func (c choice) shortOf(network *v1alpha1.Network, class *v1alpha1.QoSClass) (problem string) {
	if c.ref == "" {
		return ""
	}
	if guaranteed := capacity(class); guaranteed != nil {
		for name, wanted := range guaranteed.Requests {
			if got := c.asks(name); got.Cmp(wanted) < 0 {
				return fmt.Sprintf("asks in %q for capacity %s of %s, and QoSClass %q guarantees %s; ask for that in capacity.requests, or select another class",
					c.ref, name, got.String(), class.Name, wanted.String())
			}
		}
	}
	if got := c.asks(v1alpha1.DeviceCapacityLinks); takesWhole(network) && got.Value() < v1alpha1.WholeUplink {
		return fmt.Sprintf("asks in %q for capacity %s of %s, and Network %q, %s, has an uplink for one pod alone; ask for %d in capacity.requests",
			c.ref, v1alpha1.DeviceCapacityLinks, got.String(), network.Name, wholeBy(network), v1alpha1.WholeUplink)
	}
	return ""
}

// asks is how much of a capacity a claim asks for, or has got.
func (c choice) asks(name resourcev1.QualifiedName) resource.Quantity {
	if got, asked := c.capacity[name]; asked {
		return got
	}
	return c.capacity[v1alpha1.DriverName+"/"+name]
}
