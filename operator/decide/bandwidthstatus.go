package decide

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// What a Network's status lists at most.
const (
	mostUplinks = 16
	mostFullest = 5
)

// bandwidthStatus sums up the NICs by name, and lists those that have the largest part guaranteed.
func bandwidthStatus(nics []NIC) (uplinks []v1alpha1.UplinkBandwidth, fullest []v1alpha1.NodeBandwidth, summary string) {
	byName, nodes := map[string]NIC{}, map[string]int32{}
	var all NIC
	for _, nic := range nics {
		sum := byName[nic.Interface]
		sum.Interface, sum.Total, sum.Booked = nic.Interface, sum.Total.plus(nic.Total), sum.Booked.plus(nic.Booked)
		byName[nic.Interface] = sum
		nodes[nic.Interface]++
		all.Total, all.Booked = all.Total.plus(nic.Total), all.Booked.plus(nic.Booked)
	}
	for name, sum := range byName {
		uplinks = append(uplinks, v1alpha1.UplinkBandwidth{
			Uplink: name, Nodes: nodes[name], Egress: use(sum.Booked.Egress, sum.Total.Egress), Ingress: use(sum.Booked.Ingress, sum.Total.Ingress)})
	}
	slices.SortFunc(uplinks, func(a, b v1alpha1.UplinkBandwidth) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Uplink, b.Uplink))
	})
	ordered := slices.DeleteFunc(slices.Clone(nics), func(n NIC) bool { return n.Booked == Rates{} })
	slices.SortStableFunc(ordered, func(a, b NIC) int { return cmp.Compare(b.fullness(), a.fullness()) })
	for _, nic := range ordered[:min(len(ordered), mostFullest)] {
		fullest = append(fullest, v1alpha1.NodeBandwidth{
			Node: nic.Node, Uplink: nic.Interface, Egress: use(nic.Booked.Egress, nic.Total.Egress), Ingress: use(nic.Booked.Ingress, nic.Total.Ingress)})
	}
	if len(nics) > 0 {
		summary = fmt.Sprintf("%s/%s out, %s/%s in", bits(all.Booked.Egress), bits(all.Total.Egress), bits(all.Booked.Ingress), bits(all.Total.Ingress))
	}
	return uplinks[:min(len(uplinks), mostUplinks)], fullest, summary
}

// fullness is the larger of both directions' parts that are guaranteed.
func (n NIC) fullness() float64 {
	part := func(booked, total int64) float64 { return float64(booked) / float64(max(total, 1)) }
	return max(part(n.Booked.Egress, n.Total.Egress), part(n.Booked.Ingress, n.Total.Ingress))
}

func use(guaranteed, total int64) v1alpha1.BandwidthUse {
	return v1alpha1.BandwidthUse{Guaranteed: *resource.NewQuantity(guaranteed, resource.DecimalSI), Total: *resource.NewQuantity(total, resource.DecimalSI)}
}
