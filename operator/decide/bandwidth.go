package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/klog/v2"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Rates are bit/s of both directions.
type Rates struct{ Egress, Ingress int64 }

func (r Rates) plus(o Rates) Rates  { return Rates{r.Egress + o.Egress, r.Ingress + o.Ingress} }
func (r Rates) minus(o Rates) Rates { return Rates{r.Egress - o.Egress, r.Ingress - o.Ingress} }

// covers tells whether o fits into r. Who asks for nothing fits in everywhere, as for the scheduler.
func (r Rates) covers(o Rates) bool {
	return (o.Egress == 0 || o.Egress <= r.Egress) && (o.Ingress == 0 || o.Ingress <= r.Ingress)
}

// String is such as "4G egress and 1G ingress".
func (r Rates) String() string {
	switch {
	case r.Ingress == 0:
		return bits(r.Egress) + " egress"
	case r.Egress == 0:
		return bits(r.Ingress) + " ingress"
	}
	return bits(r.Egress) + " egress and " + bits(r.Ingress) + " ingress"
}

func bits(n int64) string { return resource.NewQuantity(n, resource.DecimalSI).String() }

// Guaranteed is what a class guarantees; the class may be nil.
func Guaranteed(class *v1alpha1.QoSClass) Rates {
	if class == nil {
		return Rates{}
	}
	return guaranteedBy(&class.Spec)
}

func guaranteedBy(spec *v1alpha1.QoSClassSpec) Rates {
	rate := func(direction *v1alpha1.Bandwidth) int64 {
		if direction == nil || direction.Guaranteed == nil {
			return 0
		}
		return direction.Guaranteed.Value()
	}
	return Rates{rate(spec.Egress), rate(spec.Ingress)}
}

// DeviceKey names a device of our driver in the cluster.
type DeviceKey struct{ Pool, Device string }

// Booked is what the scheduler has set aside for claims, by device.
func Booked(claims []resourcev1.ResourceClaim) map[DeviceKey]Rates {
	booked := map[DeviceKey]Rates{}
	for i := range claims {
		for _, result := range OurDevices(&claims[i]) {
			key := DeviceKey{result.Pool, result.Device}
			booked[key] = booked[key].plus(consumed(result))
		}
	}
	return booked
}

// BookedBy is what the scheduler has set aside for the interface that a request of a claim is: of its own device and, with
// the request for bandwidth beside it, of the NIC behind that.
func BookedBy(claim *resourcev1.ResourceClaim, request string) (sum Rates) {
	for _, result := range OurDevices(claim) {
		if base := resourceclaim.BaseRequestRef(result.Request); base == request || base == bandwidthRequest {
			sum = sum.plus(consumed(result))
		}
	}
	return sum
}

// OurDevices are those of our driver that a claim was allocated.
func OurDevices(claim *resourcev1.ResourceClaim) (ours []resourcev1.DeviceRequestAllocationResult) {
	if claim.Status.Allocation == nil {
		return nil
	}
	for _, result := range claim.Status.Allocation.Devices.Results {
		if result.Driver == v1alpha1.DriverName {
			ours = append(ours, result)
		}
	}
	return ours
}

func consumed(result resourcev1.DeviceRequestAllocationResult) Rates {
	rate := func(name resourcev1.QualifiedName) int64 {
		quantity, found := result.ConsumedCapacity[name]
		if !found {
			quantity = result.ConsumedCapacity[v1alpha1.DriverName+"/"+name]
		}
		return quantity.Value()
	}
	return Rates{rate(v1alpha1.DeviceCapacityBandwidth), rate(v1alpha1.DeviceCapacityIngress)}
}

// NIC is the bandwidth of a NIC of a node.
type NIC struct {
	Node, Interface string
	// Total may be guaranteed, Booked is.
	Total, Booked Rates
}

func (n NIC) free() Rates { return n.Total.minus(n.Booked) }

// NICs are those that a Network's pods may get bandwidth from, by node and interface. Those without a carrier are left out.
func NICs(network *v1alpha1.Network, published []resourcev1.ResourceSlice, booked map[DeviceKey]Rates) (nics []NIC) {
	type name struct{ node, nic string }
	carriers, tests := map[name]bool{}, deviceTests(network)
	eachDevice(published, func(node string, _ resourcev1.ResourceSlice, device resourcev1.Device) {
		if !tainted(network, device) && matches(network, tests, device) {
			carriers[name{node, text(device, v1alpha1.DeviceAttributeNIC)}] = true
		}
	})
	eachDevice(published, func(node string, slice resourcev1.ResourceSlice, device resourcev1.Device) {
		iface := text(device, v1alpha1.DeviceAttributeInterface)
		if _, offers := device.Capacity[v1alpha1.DeviceCapacityBandwidth]; !offers || !carriers[name{node, iface}] {
			return
		}
		total := func(capacity resourcev1.QualifiedName) int64 { q := device.Capacity[capacity].Value; return q.Value() }
		nics = append(nics, NIC{
			Node: node, Interface: iface, Booked: booked[DeviceKey{slice.Spec.Pool.Name, device.Name}],
			Total: Rates{total(v1alpha1.DeviceCapacityBandwidth), total(v1alpha1.DeviceCapacityIngress)},
		})
	})
	slices.SortFunc(nics, func(a, b NIC) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Interface, b.Interface))
	})
	return nics
}

func eachDevice(published []resourcev1.ResourceSlice, f func(node string, slice resourcev1.ResourceSlice, device resourcev1.Device)) {
	for _, slice := range published {
		if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil {
			continue
		}
		for _, device := range slice.Spec.Devices {
			f(*slice.Spec.NodeName, slice, device)
		}
	}
}

// Admitting leaves out the slices of nodes that the pod's node selector, its required node affinity or a taint keep it from.
// A node that is not known yet stays in, and so does one that is not ready, which it will be.
func Admitting(pod *corev1.Pod, nodes []corev1.Node, published []resourcev1.ResourceSlice) []resourcev1.ResourceSlice {
	affinity, closed := nodeaffinity.GetRequiredNodeAffinity(pod), map[string]bool{}
	for i := range nodes {
		matches, err := affinity.Match(&nodes[i])
		_, kept := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), nodes[i].Spec.Taints, pod.Spec.Tolerations, func(t *corev1.Taint) bool {
			return t.Effect != corev1.TaintEffectPreferNoSchedule && t.Key != corev1.TaintNodeNotReady
		}, false)
		closed[nodes[i].Name] = err != nil || !matches || kept
	}
	return slices.DeleteFunc(slices.Clone(published), func(slice resourcev1.ResourceSlice) bool {
		return slice.Spec.NodeName != nil && closed[*slice.Spec.NodeName]
	})
}

// NoPlace tells why a pod that the scheduler has no node for finds none with a device for each Network, with as much bandwidth as its
// classes guarantee, or with a Network that has the class which it selects, or nil where that is not why. The scheduler's own event
// only says that claims cannot be allocated. enough tells that a node which admits the pod has all that it is guaranteed. Claims that
// users write are left out: they may have a second choice.
func NoPlace(planned []Planned, published []resourcev1.ResourceSlice, booked map[DeviceKey]Rates) (why *Refusal, enough bool) {
	var fits map[string]bool // nodes on which everything before fits
	admitting := room{published: published, booked: booked, taken: map[[2]string]Rates{}, where: "on nodes that admit the pod"}
	for _, p := range planned {
		if p.Selection.OwnClaim() {
			continue
		}
		now, short := admitting.look(p)
		if short == nil {
			return nil, false
		}
		maps.DeleteFunc(now, func(node string, _ bool) bool { return fits != nil && !fits[node] })
		if len(now) == 0 {
			return short, false
		}
		fits = now
		enough = enough || p.Selection.ByClass() || Guaranteed(p.QoS) != Rates{}
	}
	return nil, enough
}

// look returns the nodes with room for an interface, and what to say where none of them will do: nil if that is not for us to say.
func (r room) look(p Planned) (now map[string]bool, short *Refusal) {
	if p.Selection.ByClass() {
		return r.ofClass(p)
	}
	now, why := r.free(p.Network)
	if why != "" {
		return nil, &Refusal{v1alpha1.ReasonNoNode, why + ". The pod starts when a node has one; the conditions of the Network say what nodes need"}
	}
	asked := Guaranteed(p.QoS)
	if asked == (Rates{}) {
		return now, &Refusal{v1alpha1.ReasonNoNode, fmt.Sprintf("Network %q can be had %s (%s), none of which has what the pod selects before it",
			p.Network.Name, r.where, some(slices.Collect(maps.Keys(now))))}
	}
	nics := slices.DeleteFunc(NICs(p.Network, r.published, r.booked), func(n NIC) bool { return !now[n.Node] })
	if len(nics) == 0 {
		return nil, nil
	}
	return place(nics, asked, r.taken), &Refusal{v1alpha1.ReasonInsufficientBandwidth, shortageText(p.Network, p.QoS, asked, nics) +
		". The pod starts when others with a guarantee go; or select a class that guarantees less"}
}

// place takes what is asked for from the NIC of each node that has the most left, and returns the nodes where there is one.
func place(nics []NIC, asked Rates, taken map[[2]string]Rates) map[string]bool {
	best := map[string]NIC{}
	for _, nic := range nics {
		nic.Booked = nic.Booked.plus(taken[[2]string{nic.Node, nic.Interface}])
		if old, found := best[nic.Node]; nic.free().covers(asked) && (!found || old.free().Egress < nic.free().Egress) {
			best[nic.Node] = nic
		}
	}
	nodes := map[string]bool{}
	for node, nic := range best {
		key := [2]string{node, nic.Interface}
		taken[key] = taken[key].plus(asked)
		nodes[node] = true
	}
	return nodes
}

func shortageText(network *v1alpha1.Network, class *v1alpha1.QoSClass, asked Rates, nics []NIC) string {
	nodes, most, beside := map[string]bool{}, nics[0], ""
	for _, nic := range nics {
		nodes[nic.Node] = true
		if free := nic.free(); free.Egress+free.Ingress > most.free().Egress+most.free().Ingress {
			most = nic
		}
		if nic.free().covers(asked) {
			beside = " beside what else the pod asks for"
		}
	}
	return fmt.Sprintf(
		"Network %q with QoSClass %q guarantees %s; nodes with a NIC for it that admit the pod: %d, with as much left%s: 0. The most is left on node %s (%s): %s of %s egress, %s of %s ingress",
		network.Name, class.Name, asked, len(nodes), beside, most.Node, most.Interface,
		bits(max(most.free().Egress, 0)), bits(most.Total.Egress), bits(max(most.free().Ingress, 0)), bits(most.Total.Ingress))
}
