package overlay

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// guards are who may send into each overlay of the node. The kernel has them in one table, so that one lock is held while it
// is written.
type guards struct {
	node Node

	mu sync.Mutex
	// byVNI is what the table should hold.
	byVNI map[int]guard
	// known tells that it did when last looked at.
	known bool
}

type guard struct {
	port    int
	members map[netip.Addr]bool
}

func newGuards(node Node) *guards { return &guards{node: node, byVNI: map[int]guard{}} }

// inherit keeps those guards of an earlier process that are planned still, so that their members can send until the API
// server has told of them anew.
func (g *guards) inherit(planned []plan.Overlay) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	present, err := g.node.Guards()
	if err != nil {
		return err
	}
	for _, found := range present {
		same := func(o plan.Overlay) bool { return o.VNI == found.VNI && o.Port == found.Port }
		if slices.ContainsFunc(planned, same) {
			g.byVNI[found.VNI] = guard{port: found.Port, members: setOf(found.Members)}
		}
	}
	return nil
}

// admit lets members send into an overlay, from which nobody else can, beside former members.
func (g *guards) admit(o plan.Overlay, members []netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, guarded := g.byVNI[o.VNI]
	if !guarded || now.port != o.Port {
		g.byVNI[o.VNI] = guard{port: o.Port, members: setOf(members)}
		return g.write()
	}
	var add []netip.Addr
	for _, member := range members {
		if !now.members[member] {
			add, now.members[member] = append(add, member), true
		}
	}
	return g.update(o.VNI, add, nil)
}

// dismiss ends the admission of all but members.
func (g *guards) dismiss(o plan.Overlay, members []netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var remove []netip.Addr
	now, stay := g.byVNI[o.VNI].members, setOf(members)
	for member := range now {
		if !stay[member] {
			remove = append(remove, member)
			delete(now, member)
		}
	}
	return g.update(o.VNI, nil, remove)
}

// forget takes the guards of overlays away.
func (g *guards) forget(gone []plan.Overlay) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range gone {
		delete(g.byVNI, o.VNI)
	}
	if len(gone) == 0 && g.known {
		return nil
	}
	return g.write()
}

// check makes the table right that somebody else may have changed.
func (g *guards) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.write()
}

// update changes members, or writes all of the table where it is not known what it holds.
func (g *guards) update(vni int, add, remove []netip.Addr) error {
	if g.known && len(add)+len(remove) == 0 {
		return nil
	}
	if g.known && g.node.UpdateGuard(vni, add, remove) == nil {
		return nil
	}
	return g.write()
}

func (g *guards) write() error {
	list := make([]plumb.Guard, 0, len(g.byVNI))
	for _, vni := range slices.Sorted(maps.Keys(g.byVNI)) {
		now := g.byVNI[vni]
		list = append(list, plumb.Guard{VNI: vni, Port: now.port, Members: slices.SortedFunc(maps.Keys(now.members), netip.Addr.Compare)})
	}
	err := g.node.EnsureGuards(list)
	g.known = err == nil
	return err
}

func setOf(addrs []netip.Addr) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool, len(addrs))
	for _, addr := range addrs {
		set[addr] = true
	}
	return set
}
