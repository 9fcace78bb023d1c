package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// room is where a pod may find a place for its interfaces.
type room struct {
	published []resourcev1.ResourceSlice
	booked    map[DeviceKey]Rates
	// taken of NICs, by node and interface, is what interfaces of the pod that were looked at before ask for.
	taken map[[2]string]Rates
	// where it is, such as "on nodes that admit the pod".
	where string
}

// nodes are those with a device for an interface on the Network and with the bandwidth that the class guarantees, which is
// then taken. If there are none, why says what is short.
func (r room) nodes(network *v1alpha1.Network, class *v1alpha1.QoSClass) (nodes map[string]bool, why string) {
	free, why := r.free(network)
	asked := Guaranteed(class)
	if why != "" || asked == (Rates{}) {
		return free, why
	}
	nics := slices.DeleteFunc(NICs(network, r.published, r.booked), func(n NIC) bool { return !free[n.Node] })
	if len(nics) == 0 {
		return nil, fmt.Sprintf("Network %q has no NIC %s whose bandwidth is known", network.Name, r.where)
	}
	if nodes = place(nics, asked, r.taken); len(nodes) == 0 {
		return nil, shortageText(network, class, asked, nics)
	}
	return nodes, ""
}

// free are the nodes with a device for the Network that is fit for use and, if it is for one pod alone, not in use.
func (r room) free(network *v1alpha1.Network) (nodes map[string]bool, why string) {
	nodes = map[string]bool{}
	devices, fit, tests, whole := 0, 0, deviceTests(network), takesWhole(network)
	eachDevice(r.published, func(node string, slice resourcev1.ResourceSlice, device resourcev1.Device) {
		if !matches(network, tests, device) {
			return
		}
		if devices++; tainted(network, device) {
			return
		}
		fit++
		_, used := r.booked[DeviceKey{slice.Spec.Pool.Name, device.Name}]
		if shared := device.AllowMultipleAllocations != nil && *device.AllowMultipleAllocations; shared && !whole || !used {
			nodes[node] = true
		}
	})
	switch {
	case devices == 0:
		why = fmt.Sprintf("Network %q has no device %s", network.Name, r.where)
	case fit == 0:
		why = fmt.Sprintf("Network %q has devices %s, each of which is tainted", network.Name, r.where)
	case len(nodes) == 0:
		what := "virtual function"
		if whole {
			what = "NIC"
		}
		if fit > 1 {
			what += "s"
		}
		why = fmt.Sprintf("Network %q has %d %s %s, and none is free", network.Name, fit, what, r.where)
	}
	return nodes, why
}

// ofClass are the nodes that have a place on one of the Networks that are offered, the cheapest of which is taken.
func (r room) ofClass(p Planned) (map[string]bool, *Refusal) {
	all, short := map[string]bool{}, []string{}
	for _, o := range p.Offers {
		rest := r
		rest.published = slices.DeleteFunc(slices.Clone(r.published), func(s resourcev1.ResourceSlice) bool {
			return s.Spec.NodeName != nil && all[*s.Spec.NodeName]
		})
		nodes, why := rest.nodes(o.Network, p.QoS)
		if why != "" {
			short = append(short, why)
			continue
		}
		maps.Copy(all, nodes)
	}
	if len(all) > 0 {
		return all, &Refusal{v1alpha1.ReasonClassUnavailable, fmt.Sprintf(
			"Networks that have QoSClass %q have a place for the pod on %d nodes, none of which has what else the pod is guaranteed", p.QoS.Name, len(all))}
	}
	return nil, &Refusal{v1alpha1.ReasonClassUnavailable, fmt.Sprintf(
		"none of the Networks that have QoSClass %q has a place for the pod, the cheapest first: %s. The pod starts when one has", p.QoS.Name, strings.Join(short, "; "))}
}
