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
	Listed    bool
	Orders    []order
	Planned   []planned
	Sandboxes []held
}

// order is a PodNetworkAttachment.
type order struct {
	Namespace, Name string
	UID, PodUID     types.UID
	Deleting        bool
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
	holding := map[types.UID]bool{}
	for _, h := range s.Sandboxes {
		holding[h.PodUID] = holding[h.PodUID] || h.Phase.holds()
		if h.Phase == found || h.Phase == broken && h.Due || h.Phase == attached && h.Due {
			a.Verify = append(a.Verify, h.ID)
		}
	}
	slices.Sort(a.Verify)
	if !s.Synchronized || !s.Listed {
		return a
	}
	lives := map[planned]bool{}
	for _, o := range s.Orders {
		lives[planned{o.PodUID, o.Name}] = !o.Deleting
		if o.Deleting && o.Finalizer && !holding[o.PodUID] {
			a.Release = append(a.Release, o)
		}
	}
	for _, p := range s.Planned {
		if !lives[p] && !holding[p.PodUID] {
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
