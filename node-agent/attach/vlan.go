package attach

import (
	"errors"
	"fmt"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// ErrBusy tells that pods are being attached to VLANs just now.
var ErrBusy = errors.New("an attach to a VLAN is under way")

// PruneVLANs removes our VLAN links that no plan needs. planned is asked under the lock that keeps attaches to VLANs
// out, for the kernel removes with a VLAN link the links of all pods on it. A plan that is there before its attach begins
// is therefore either seen, or its attach makes the link anew. Nothing is removed where planned does not know.
//
// It never waits for an attach, since other attaches would then wait for both: it returns ErrBusy. It lets attaches in
// between two removals, each of which takes some 16 ms.
func (a *Attacher) PruneVLANs(planned func() (vlans []plan.VLAN, known bool)) error {
	for {
		more, err := a.pruneVLAN(planned)
		if err != nil || !more {
			return err
		}
	}
}

// pruneVLAN removes one link.
func (a *Attacher) pruneVLAN(planned func() ([]plan.VLAN, bool)) (more bool, err error) {
	node, err := a.openNode()
	if err != nil {
		return false, fmt.Errorf("prune VLAN links: the node's network namespace: %w", err)
	}
	if !a.vlans.TryLock() {
		return false, ErrBusy
	}
	defer a.vlans.Unlock()
	vlans, known := planned()
	if !known {
		return false, ErrBusy
	}
	found, err := plumb.VLANLinks(node)
	if err != nil {
		return false, fmt.Errorf("prune VLAN links: %w", err)
	}
	unused := unusedVLANs(vlans, found)
	if len(unused) == 0 {
		return false, nil
	}
	if err := plumb.RemoveLink(node, unused[0].Index); err != nil {
		return false, fmt.Errorf("prune VLAN link %s: %w", unused[0].Name, err)
	}
	return len(unused) > 1, nil
}

// unusedVLANs returns the links that no plan needs. A link is needed by its name, too: its uplink may have been renamed
// while pods are on it.
func unusedVLANs(planned []plan.VLAN, found []plumb.VLANLink) []plumb.VLANLink {
	needed := func(link plumb.VLANLink) bool {
		return slices.ContainsFunc(planned, func(v plan.VLAN) bool {
			return v == link.VLAN || plumb.VLANName(v.Uplink, v.ID) == link.Name
		})
	}
	return slices.DeleteFunc(slices.Clone(found), needed)
}

// holdVLANs keeps the VLAN links that the attachments are on until release is called.
func (a *Attacher) holdVLANs(attachments ...plan.Attachment) (release func()) {
	tagged := func(p plan.Attachment) bool { _, ok := p.VLAN(); return ok }
	if !slices.ContainsFunc(attachments, tagged) {
		return func() {}
	}
	a.vlans.RLock()
	return a.vlans.RUnlock
}
