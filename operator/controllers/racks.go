package controllers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// errRackNotServed: nothing is recorded that an attachment in the rack could have.
var errRackNotServed = errors.New("the rack is not served")

// rackError tells of one rack of a Network; others may be well.
type rackError struct {
	rack string
	err  error
}

func (e *rackError) Error() string { return fmt.Sprintf("rack %q: %v", e.rack, e.err) }
func (e *rackError) Unwrap() error { return e.err }

// rackBook is what is known of a Network's racks. The record is the Network's status: an address is given out of a rack's
// prefix when the prefix stands there, and none any more before it is taken out.
type rackBook struct {
	// network is the spec of the last that passed decide.CheckNetwork, nil before.
	network *v1alpha1.Network
	// uid and version of the Network whose status was taken over last.
	uid      types.UID
	version  string
	recorded []v1alpha1.RackStatus
	// planned since then: a write may arrive although its answer does not. All of them had that version as precondition,
	// so with another one it is known what became of them. Until then planned VNIs are not for other Networks, and racks
	// that lose something are retired: nothing of them is given out.
	planned     bool
	plannedVNIs map[int32]bool
	retired     map[string]bool
	// served racks have all that attachments need. The value is the VNI, 0 where there is no overlay.
	served map[string]int32
	vnis   map[int32]bool
	places map[place]int32
}

// place is where an attachment is, zero in Networks without racks.
type place struct{ rack, node string }

func placeOf(pna *v1alpha1.PodNetworkAttachment) place {
	if pna.Spec.RackLocal == nil {
		return place{}
	}
	return place{rack: pna.Spec.RackLocal.Rack, node: pna.Spec.NodeName}
}

func (k *rackBook) enter(p place) { k.places[p]++ }

func (k *rackBook) leave(p place) {
	if k.places[p]--; k.places[p] == 0 {
		delete(k.places, p)
	}
}

// attachments counts by rack.
func (k *rackBook) attachments() map[string]int32 {
	counts := map[string]int32{}
	for p, n := range k.places {
		if p.rack != "" {
			counts[p.rack] += n
		}
	}
	return counts
}

// configureRacks: racks of a Network of the same name that is gone are no racks of this one.
func (a *Allocator) configureRacks(network *v1alpha1.Network) {
	b := a.book(network.Name)
	if b.racks.uid != network.UID {
		b.racks = rackBook{uid: network.UID, places: b.racks.places, vnis: b.racks.vnis}
		a.claimVNIs(network.Name)
	}
	// The caller goes on working with its own.
	b.racks.network = &v1alpha1.Network{Spec: *network.Spec.DeepCopy()}
}

// applyRanges gives the pool what addresses may be given out of.
func (b *networkBook) applyRanges() {
	network := b.racks.network
	if network == nil || decide.TopologyKey(network) == "" {
		b.pool.Reconfigure(b.ranges, b.quarantine)
		return
	}
	b.racks.served = map[string]int32{}
	for _, rack := range b.racks.recorded {
		if !b.racks.retired[rack.Name] && decide.RackServed(network, b.ranges, rack) {
			b.racks.served[rack.Name] = rack.VNI
		}
	}
	b.pool.Reconfigure(decide.RackRanges(b.ranges, b.racks.recorded), b.quarantine)
}

// TakeRacks takes over the racks that a Network's status records. An older version than the last is ignored.
func (a *Allocator) TakeRacks(network *v1alpha1.Network) {
	a.mu.Lock()
	_, changed := a.takeRacks(network)
	a.mu.Unlock()
	if changed {
		a.tell(change{network: network.Name, racks: true})
	}
}

// takeRacks tells whether the version is the last one, and whether it changed anything.
func (a *Allocator) takeRacks(network *v1alpha1.Network) (current, changed bool) {
	if decide.TopologyKey(network) == "" {
		return true, false
	}
	k := &a.book(network.Name).racks
	if k.uid == network.UID && k.version != "" {
		switch order, err := resourceversion.CompareResourceVersion(network.ResourceVersion, k.version); {
		case err == nil && order < 0:
			return false, false
		case err == nil && order == 0:
			return true, false
		}
	}
	changed = k.planned || !sameRacks(k.recorded, network.Status.Racks)
	k.uid, k.version, k.recorded = network.UID, network.ResourceVersion, network.DeepCopy().Status.Racks
	k.planned, k.plannedVNIs, k.retired = false, nil, nil
	a.claimVNIs(network.Name)
	if changed {
		a.book(network.Name).applyRanges()
	}
	return true, changed
}

// PlanRacks decides what is to be recorded next. Racks that are to lose something are not served from now on: the same
// lock makes sure that nobody takes an address of them after the decision. ok is false where the version of the Network
// is not the last one that is known.
func (a *Allocator) PlanRacks(network *v1alpha1.Network, nodes map[string]int32, now time.Time) (plan decide.RackPlan, ok bool) {
	a.mu.Lock()
	current, changed := a.takeRacks(network)
	if current {
		plan = a.planRacks(network, nodes, now)
	}
	a.mu.Unlock()
	if changed {
		a.tell(change{network: network.Name, racks: true})
	}
	return plan, current
}

func (a *Allocator) planRacks(network *v1alpha1.Network, nodes map[string]int32, now time.Time) decide.RackPlan {
	b := a.book(network.Name)
	facts := decide.RackFacts{
		Network: network, Recorded: b.racks.recorded, Nodes: nodes, Attachments: b.racks.attachments(), Reserved: map[string]int32{}, Now: now,
		VNITaken: func(vni int32) bool { return a.vnis[vni] != "" && a.vnis[vni] != network.Name },
	}
	for _, r := range a.reserved {
		if r.network == network.Name {
			facts.Reserved[r.scope]++
		}
	}
	// An AddressClaim holds an address too.
	for _, rack := range b.pool.Scopes() {
		facts.Reserved[rack]++
	}
	for addr := range b.pool.Outside() {
		facts.Strays = append(facts.Strays, addr)
	}
	plan := decide.Racks(facts)
	if !sameRacks(b.racks.recorded, plan.Racks) {
		b.racks.expect(plan.Racks)
		a.claimVNIs(network.Name)
	}
	return plan
}

// expect remembers a plan that is about to be written.
func (k *rackBook) expect(racks []v1alpha1.RackStatus) {
	if !k.planned {
		k.planned, k.plannedVNIs, k.retired = true, map[int32]bool{}, map[string]bool{}
	}
	after := map[string]v1alpha1.RackStatus{}
	for _, rack := range racks {
		after[rack.Name] = rack
		k.plannedVNIs[rack.VNI] = true
	}
	for _, old := range k.recorded {
		rack, kept := after[old.Name]
		lost := func(prefix string) bool { return !slices.Contains(rack.Prefixes, prefix) }
		if !kept || old.VNI != 0 && rack.VNI != old.VNI || slices.ContainsFunc(old.Prefixes, lost) {
			k.retired[old.Name] = true
			delete(k.served, old.Name)
		}
	}
}

// claimVNIs keeps the VNIs that the Network's status has, or may have, from other Networks.
func (a *Allocator) claimVNIs(network string) {
	k := &a.book(network).racks
	wanted := maps.Clone(k.plannedVNIs)
	if wanted == nil {
		wanted = map[int32]bool{}
	}
	for _, rack := range k.recorded {
		wanted[rack.VNI] = true
	}
	for vni := range k.vnis {
		if !wanted[vni] {
			delete(a.vnis, vni)
		}
	}
	k.vnis = map[int32]bool{}
	for vni := range wanted {
		if owner := a.vnis[vni]; vni != 0 && (owner == "" || owner == network) {
			a.vnis[vni], k.vnis[vni] = network, true
		}
	}
}

// reservedRack returns the rack of a reservation and its VNI. It is that of an earlier try, if a create of that may arrive
// although the node was moved since.
func (a *Allocator) reservedRack(key types.NamespacedName) (rack string, vni int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.reserved[reservationOwner(key)]
	if r == nil {
		return "", 0
	}
	return r.scope, r.vni
}

// CountRacks returns the racks as they are recorded, with the attachments of now.
func (a *Allocator) CountRacks(network *v1alpha1.Network) []v1alpha1.RackStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := a.book(network.Name).racks.attachments()
	racks := slices.Clone(network.Status.Racks)
	for i := range racks {
		racks[i].Attachments = counts[racks[i].Name]
	}
	return racks
}

// Moved returns the pods that are in a rack which their node has left. nodeRacks has every node that exists.
func (a *Allocator) Moved(network string, nodeRacks map[string]string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := map[place]bool{}
	for p := range a.book(network).racks.places {
		if rack, exists := nodeRacks[p.node]; exists && p.rack != "" && rack != p.rack {
			left[p] = true
		}
	}
	if len(left) == 0 {
		return nil
	}
	var moved []string
	for _, record := range a.attachments {
		if record.network == network && left[record.place] {
			moved = append(moved, fmt.Sprintf("%s (rack %s, node %s)", record.pod, record.place.rack, record.place.node))
		}
	}
	return moved
}

// sameRacks leaves out the counts.
func sameRacks(a, b []v1alpha1.RackStatus) bool {
	return slices.EqualFunc(a, b, func(x, y v1alpha1.RackStatus) bool {
		return x.Name == y.Name && x.VNI == y.VNI && slices.Equal(x.Prefixes, y.Prefixes) && x.EmptySince.Equal(y.EmptySince)
	})
}
