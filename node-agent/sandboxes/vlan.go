package sandboxes

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// used has the VLAN links of the node looked at if one that these attachments are on may be of no use any more. It is called
// when a plan goes, and at the end of work that makes such a link: the plan can go while that is under way, and the link
// would be made after the look that this caused.
func (k *Keeper) used(podUID types.UID, attachments []plan.Attachment) {
	for _, a := range attachments {
		if _, tagged := a.VLAN(); tagged && !k.state.hasPlan(podUID, a.Name) {
			k.pruneDue.Store(true)
			k.Wake()
		}
	}
}

// prune removes the VLAN links that no plan needs. The kernel would remove the links of all pods with them, so that
// it is left undone while the plan of any sandbox is not known.
func (k *Keeper) prune() {
	if _, known := k.state.vlans(); !known || !k.pruneDue.CompareAndSwap(true, false) {
		return
	}
	err := k.Path.PruneVLANs(k.state.vlans)
	if err == nil {
		return
	}
	k.pruneDue.Store(true) // with the next wake, or tick
	if !errors.Is(err, attach.ErrBusy) {
		k.Log.Error(err, "VLAN links that no pod needs stay for now")
	}
}

// vlans returns the VLANs that plans are on. They are not known while the runtime has not listed its sandboxes, nor while
// a sandbox is without a plan that it must have had, which is so after the loss of the ledger.
func (s *state) vlans() (list []plan.VLAN, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isClosed(s.synchronized) {
		return nil, false
	}
	for _, e := range s.entries {
		// A sandbox whose selection cannot be read has never been attached.
		selections, _ := selection.Parse(e.Selection)
		if _, missing := s.plannedLocked(e.PodUID, selections); e.phase.holds() && len(missing) > 0 {
			return nil, false
		}
	}
	for _, pod := range s.plans {
		for _, a := range pod.Attachments {
			if vlan, tagged := a.VLAN(); tagged && !slices.Contains(list, vlan) {
				list = append(list, vlan)
			}
		}
	}
	return list, true
}

func (s *state) hasPlan(podUID types.UID, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.plans[podUID].Attachments, func(a plan.Attachment) bool { return a.Name == name })
}
