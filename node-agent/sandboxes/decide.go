package sandboxes

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// snapshot is what the node knows at one instant.
type snapshot struct {
	// Synchronized: the runtime is connected and has listed its sandboxes on this connection, so that a sandbox
	// which is not in Sandboxes does not exist.
	Synchronized bool
	// Listed: Orders holds all attachments of this node that the API server has.
	Listed  bool
	Orders  []order
	Planned []planned
	// Interfaces are the names in their pods of what is Planned.
	Interfaces map[planned]string
	Sandboxes  []held
}

// order is a PodNetworkAttachment.
type order struct {
	Namespace, Name string
	UID, PodUID     types.UID
	Interface       string
	Deleting        bool
	// Detach: the pod goes on without it.
	Detach bool
	// Finalizer: the release of its addresses waits for this node.
	Finalizer bool
}

// planned is one attachment in the ledger.
type planned struct {
	PodUID types.UID
	Name   string
}

// held is a sandbox of a pod that selects networks.
type held struct {
	ID     string
	PodUID types.UID
	Phase  phase
	// Due: it is to be looked at again, because its uplink changed or its time has come.
	Due bool
	// Interfaces that it is to have; nil where that is not known, for all.
	Interfaces []string
	// Tried are changes that have been followed. They are again when the sandbox is due.
	Tried []change
}

func usesInterface(interfaces []string, iface string) bool {
	return interfaces == nil || slices.Contains(interfaces, iface)
}

// change is an interface that a sandbox which runs is to get or to lose.
type change struct {
	Order types.UID
	Off   bool
}

// changed are the orders that say something else than what the sandbox is to have. An order that goes for another reason than
// a pod that selects it no more keeps its interface for as long as the sandbox is there.
func (h held) changed(orders []order) (off, on []order) {
	for _, o := range orders {
		switch uses := usesInterface(h.Interfaces, o.Interface); {
		case o.PodUID != h.PodUID:
		case o.Deleting && o.Detach && uses:
			off = append(off, o)
		case !o.Deleting && !o.Detach && !uses:
			on = append(on, o)
		}
	}
	return off, on
}

func changesOf(off, on []order) (list []change) {
	for _, o := range off {
		list = append(list, change{o.UID, true})
	}
	for _, o := range on {
		list = append(list, change{o.UID, false})
	}
	return list
}

// news tells whether there is something to follow that has not been tried.
func (h held) news(orders []order) bool {
	if h.Phase != attached && h.Phase != broken {
		return false
	}
	return slices.ContainsFunc(changesOf(h.changed(orders)), func(c change) bool { return !slices.Contains(h.Tried, c) })
}

// actions are done in the order of the fields: a plan must be out of reach of the hook before its addresses are
// free.
type actions struct {
	Drop    []planned
	Release []order
	Verify  []string
}

// decide compares what the node has with what it should have. Nothing is concluded from the absence of a sandbox
// while the runtime has not listed them, nor from the absence of an order while the API server has not. An order
// that lives keeps its plan even if no sandbox is there: the pod is prepared and about to start.
func decide(s snapshot) actions {
	var a actions
	holding := map[types.UID][]held{}
	for _, h := range s.Sandboxes {
		if h.Phase.holds() {
			holding[h.PodUID] = append(holding[h.PodUID], h)
		}
		if h.Phase == found || h.Phase == broken && h.Due || h.Phase == attached && h.Due || h.news(s.Orders) {
			a.Verify = append(a.Verify, h.ID)
		}
	}
	slices.Sort(a.Verify)
	if !s.Synchronized || !s.Listed {
		return a
	}
	uses := func(podUID types.UID, iface string) bool {
		return slices.ContainsFunc(holding[podUID], func(h held) bool { return usesInterface(h.Interfaces, iface) })
	}
	lives := map[planned]bool{}
	for _, o := range s.Orders {
		lives[planned{o.PodUID, o.Name}] = !o.Deleting
		if o.Deleting && o.Finalizer && !uses(o.PodUID, o.Interface) {
			a.Release = append(a.Release, o)
		}
	}
	for _, p := range s.Planned {
		if !lives[p] && !uses(p.PodUID, s.Interfaces[p]) {
			a.Drop = append(a.Drop, p)
		}
	}
	slices.SortFunc(a.Drop, func(x, y planned) int {
		return cmp.Or(cmp.Compare(x.PodUID, y.PodUID), cmp.Compare(x.Name, y.Name))
	})
	slices.SortFunc(a.Release, func(x, y order) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return a
}
