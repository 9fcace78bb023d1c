package decide

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// MaxRacks is the limit of Network.status.racks.
const MaxRacks = 5000

// DefaultQuarantine is that of the CRD, for objects that were stored before it had a default, and for racks without addresses.
const DefaultQuarantine = time.Minute

// RackFacts is everything that the racks of a Network are decided from.
type RackFacts struct {
	// Network passed CheckNetwork.
	Network *v1alpha1.Network
	// Recorded are the racks as they are stored.
	Recorded []v1alpha1.RackStatus
	// Nodes counts the nodes of each rack that pods of the Network can run on, Attachments those that exist, Reserved
	// what else holds something of the rack: attachments that are being created, and addresses of claims.
	Nodes, Attachments, Reserved map[string]int32
	// Strays are addresses in use that no rack's prefix has.
	Strays []netip.Addr
	// VNITaken tells of VNIs that another Network has.
	VNITaken func(int32) bool
	Now      time.Time
}

// RackPlan is what is to be recorded before an address of it is given out.
type RackPlan struct {
	// Racks by name. One that has nodes and lacks a prefix or a VNI found none.
	Racks []v1alpha1.RackStatus
	// Unlisted are racks for which the status has no room.
	Unlisted []string
	// Next is when the first rack is to be given back, 0 for never.
	Next time.Duration
}

// Racks decides which racks the Network has, and what they have. A rack keeps what is recorded for as long as it has nodes
// or attachments, and for the quarantine after that. The same facts make the same plan.
func Racks(f RackFacts) RackPlan {
	var plan RackPlan
	known := map[string]bool{}
	for _, old := range f.Recorded {
		if known[old.Name] {
			continue // Nobody but a person can have written that.
		}
		known[old.Name] = true
		rack := f.count(old)
		if old.EmptySince != nil && rack.EmptySince != nil && !f.restUntil(rack).After(f.Now) {
			continue
		}
		plan.Racks = append(plan.Racks, rack)
	}
	found := maps.Clone(f.Nodes)
	maps.Copy(found, f.Attachments)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		switch {
		case known[name] || f.Nodes[name]+f.Attachments[name] == 0:
		case len(plan.Racks) >= MaxRacks:
			plan.Unlisted = append(plan.Unlisted, name)
		default:
			plan.Racks = append(plan.Racks, f.count(v1alpha1.RackStatus{Name: name}))
		}
	}
	slices.SortFunc(plan.Racks, func(a, b v1alpha1.RackStatus) int { return cmp.Compare(a.Name, b.Name) })
	f.giveOut(plan.Racks)
	plan.Next = f.next(plan.Racks)
	return plan
}

// count starts or ends the rest of a rack. The API drops fractions of a second, so a rest begins with the next one.
func (f RackFacts) count(rack v1alpha1.RackStatus) v1alpha1.RackStatus {
	rack.Nodes, rack.Attachments = f.Nodes[rack.Name], f.Attachments[rack.Name]
	switch empty := rack.Nodes+rack.Attachments+f.Reserved[rack.Name] == 0; {
	case !empty:
		rack.EmptySince = nil
	case rack.EmptySince == nil:
		rack.EmptySince = &metav1.Time{Time: f.Now.Add(time.Second - 1).Truncate(time.Second)}
	}
	return rack
}

func (f RackFacts) restUntil(rack v1alpha1.RackStatus) time.Time {
	return rack.EmptySince.Add(Quarantine(f.Network))
}

// next is at least a moment: a rest has to be recorded before it can be over.
func (f RackFacts) next(racks []v1alpha1.RackStatus) (next time.Duration) {
	for _, rack := range racks {
		if rack.EmptySince == nil {
			continue
		}
		if rest := max(f.restUntil(rack).Sub(f.Now), time.Millisecond); next == 0 || rest < next {
			next = rest
		}
	}
	return next
}

// Quarantine is how long addresses rest, and racks.
func Quarantine(network *v1alpha1.Network) time.Duration {
	if network.Spec.IPAM == nil || network.Spec.IPAM.Quarantine == nil {
		return DefaultQuarantine
	}
	return network.Spec.IPAM.Quarantine.Duration
}
