package decide

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

func (f NetworkFacts) setRacks(status *v1alpha1.NetworkStatus) {
	status.Racks = f.Racks
	var names []string
	for _, rack := range f.Racks {
		names = append(names, rack.Name)
	}
	status.RackSummary = some(names)
	if served, known := f.racksServed(); known {
		f.set(status, served)
	}
	if len(f.Moved) == 0 {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.NetworkConditionNodeMoved)
		return
	}
	f.set(status, condition(v1alpha1.NetworkConditionNodeMoved, true, v1alpha1.ReasonNodeMoved, fmt.Sprintf(
		"Pods stay in the rack that their node was in when they were attached, until they are deleted: %s.", some(f.Moved))))
}

// racksServed is not known while the spec cannot be honoured: the racks are those of an earlier one.
func (f NetworkFacts) racksServed() (served metav1.Condition, known bool) {
	ranges, err := ipam.ParseRanges(f.Network.Spec.IPAM)
	if err != nil || CheckNetwork(f.Network) != nil {
		return metav1.Condition{}, false
	}
	not := func(reason, format string, args ...any) (metav1.Condition, bool) {
		return condition(v1alpha1.NetworkConditionRacksServed, false, reason, fmt.Sprintf(format, args...)), true
	}
	withoutPrefix, withoutVNI := f.lacking(families(ranges))
	full := f.full()
	switch {
	case len(withoutPrefix) > 0:
		return not(v1alpha1.ReasonOutOfPrefixes, "No prefix is left for %s; add a range to spec.ipam.ranges, or free racks by removing their nodes and pods.", some(withoutPrefix))
	case len(f.Unlisted) > 0:
		return not(v1alpha1.ReasonOutOfPrefixes, "A Network has room for %d racks, and none is left for %s.", MaxRacks, some(f.Unlisted))
	case len(withoutVNI) > 0:
		return not(v1alpha1.ReasonOutOfVNIs, "Racks of this Network and of others have every VNI of spec.rackLocal.overlay.vnis, and none is left for %s; "+
			"create a Network with other vnis, or free racks by removing their nodes and pods.", some(withoutVNI))
	case len(full) > 0:
		return not(v1alpha1.ReasonRackFull, "Every address is in use or set aside in %s; delete pods there, or run pods in other racks.", some(full))
	}
	return condition(v1alpha1.NetworkConditionRacksServed, true, v1alpha1.ReasonAllRacks, "Every rack has what new pods need."), true
}

// lacking returns the racks with nodes that have no prefix of each family, as "rack (IPv6)", and those that have no VNI.
func (f NetworkFacts) lacking(needed []ipam.Family) (withoutPrefix, withoutVNI []string) {
	for _, rack := range f.Racks {
		if rack.Nodes == 0 {
			continue
		}
		var missing []string
		for _, family := range needed {
			if !hasFamily(rack, family) {
				missing = append(missing, string(family))
			}
		}
		if len(missing) > 0 {
			withoutPrefix = append(withoutPrefix, fmt.Sprintf("%s (%s)", rack.Name, strings.Join(missing, " and ")))
		}
		if f.Network.Spec.RackLocal.Overlay != nil && rack.VNI == 0 {
			withoutVNI = append(withoutVNI, rack.Name)
		}
	}
	return withoutPrefix, withoutVNI
}

// full returns the prefixes without an address left, as "rack (prefix)".
func (f NetworkFacts) full() []string {
	var full []string
	for _, u := range f.Usage {
		if u.Full {
			full = append(full, fmt.Sprintf("%s (%s)", u.Scope, u.Prefix))
		}
	}
	return full
}
