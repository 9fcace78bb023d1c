package overlay

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// rack is what is known of the attachments of a rack, and what the node's link has been told of them. It does no I/O. An
// attachment that changes costs the same in a rack of any size.
type rack struct {
	claims map[types.NamespacedName]*claim
	// claimants of each MAC and address; more than one is rare.
	claimants map[subject][]*claim
	// pods of each other node, by its address. version changes with the set of nodes.
	pods    map[netip.Addr]int
	version int
	// changed are the subjects about which the link has to be told, with the entry that it was told of before, if any. Of all
	// others it was told what is wanted.
	changed map[subject]plumb.Entry
}

func newRack() *rack {
	return &rack{
		claims:    map[types.NamespacedName]*claim{},
		claimants: map[subject][]*claim{},
		pods:      map[netip.Addr]int{},
		changed:   map[subject]plumb.Entry{},
	}
}

// set takes over what an attachment says now.
func (r *rack) set(c *claim) {
	before := r.claims[c.name]
	if before != nil && before.says(c) {
		return
	}
	// First the new one, so that a node whose only pod it is stays a member.
	r.claims[c.name] = c
	for _, s := range c.subjects() {
		r.touch(s)
		r.claimants[s] = append(r.claimants[s], c)
	}
	r.count(c.via, 1)
	if before != nil {
		r.withdraw(before)
	}
}

// touch comes before each change of a subject's claimants.
func (r *rack) touch(s subject) {
	if _, touched := r.changed[s]; !touched {
		r.changed[s], _ = r.wanted(s)
	}
}

// remove forgets an attachment. One that is not known is forgotten.
func (r *rack) remove(name types.NamespacedName) {
	if c := r.claims[name]; c != nil {
		delete(r.claims, name)
		r.withdraw(c)
	}
}

// replace takes over all that there is.
func (r *rack) replace(all []*claim) {
	present := make(map[types.NamespacedName]bool, len(all))
	for _, c := range all {
		present[c.name] = true
		r.set(c)
	}
	for name := range r.claims {
		if !present[name] {
			r.remove(name)
		}
	}
}

func (r *rack) withdraw(c *claim) {
	for _, s := range c.subjects() {
		r.touch(s)
		left := slices.DeleteFunc(r.claimants[s], func(other *claim) bool { return other == c })
		r.claimants[s] = left
		if len(left) == 0 {
			delete(r.claimants, s)
		}
	}
	r.count(c.via, -1)
}

func (r *rack) count(via netip.Addr, n int) {
	if !via.IsValid() {
		return
	}
	before := r.pods[via]
	r.pods[via] = before + n
	if before+n == 0 {
		delete(r.pods, via)
	}
	if before == 0 || before+n == 0 {
		r.version++
	}
}

// members are the other nodes with pods in the rack, in their order.
func (r *rack) members() []netip.Addr {
	return slices.SortedFunc(maps.Keys(r.pods), netip.Addr.Compare)
}

// wanted returns the entry that the link should have for a subject. It has none for the pods of this node.
func (r *rack) wanted(s subject) (plumb.Entry, bool) {
	claimants := r.claimants[s]
	if len(claimants) == 0 {
		return plumb.Entry{}, false
	}
	winner := claimants[0]
	if len(claimants) > 1 {
		winner = slices.MinFunc(claimants, better)
	}
	if winner.local() {
		return plumb.Entry{}, false
	}
	return winner.entry(s), true
}

// delta returns what the link has to be told since the last delta or reconcile, and takes it for told. An entry whose
// subject gets another one is not among those to remove: adding replaces it.
func (r *rack) delta() (add, remove []plumb.Entry) {
	for s, before := range r.changed {
		wanted, any := r.wanted(s)
		switch {
		case any && before != wanted:
			add = append(add, wanted)
		case !any && before != (plumb.Entry{}):
			remove = append(remove, before)
		}
	}
	r.settle()
	return add, remove
}

// settle forgets the changes. To clear a map that was large once would cost as much with each event.
func (r *rack) settle() { r.changed = map[subject]plumb.Entry{} }

// reconcile returns what the link has to be told, given all that it has, and takes it for told.
func (r *rack) reconcile(present []plumb.Entry) (add, remove []plumb.Entry) {
	right := make(map[subject]bool, len(r.claimants))
	for _, e := range present {
		s := subjectOf(e)
		if wanted, any := r.wanted(s); any && wanted == e {
			right[s] = true
		} else {
			remove = append(remove, e)
		}
	}
	for s := range r.claimants {
		if wanted, any := r.wanted(s); any && !right[s] {
			add = append(add, wanted)
		}
	}
	r.settle()
	return add, remove
}
