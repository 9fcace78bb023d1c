package sandboxes

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// used has the links that pods of the node share looked at if one that these attachments are on may be of no use any more. It
// is called when a plan goes, and at the end of work that makes such a link: the plan can go while that is under way, and the
// link would be made after the look that this caused.
func (k *Keeper) used(podUID types.UID, attachments []plan.Attachment) {
	for _, a := range attachments {
		if _, shared := a.Segment(); shared && !k.state.hasPlan(podUID, a.Name) {
			k.pruneDue.Store(true)
			k.Wake()
		}
	}
}

// prune removes the shared links that no plan needs. The kernel would remove the links of all pods with them, so that
// it is left undone while the plan of any sandbox is not known. Overlays end first: one that lives makes its link anew.
func (k *Keeper) prune() {
	if _, known := k.state.segments(); !known || !k.pruneDue.CompareAndSwap(true, false) {
		return
	}
	k.Overlays.Keep(k.state.overlays)
	err := k.Path.PruneSegments(k.state.segments)
	if err == nil {
		return
	}
	k.pruneDue.Store(true) // with the next wake, or tick
	if !errors.Is(err, attach.ErrBusy) {
		k.Log.Error(err, "shared links that no pod needs stay for now")
	}
}

// segments returns the shared links that plans are on. They are not known while the runtime has not listed its sandboxes, nor
// while a sandbox is without a plan that it must have had, which is so after the loss of the ledger.
func (s *state) segments() (list []plan.Segment, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isClosed(s.synchronized) {
		return nil, false
	}
	for _, e := range s.entries {
		// A sandbox whose selection cannot be read has never been attached.
		selections, _ := e.now.selections()
		if _, missing := s.plannedLocked(e.PodUID, selections); e.phase.holds() && len(missing) > 0 {
			return nil, false
		}
	}
	return s.plannedSegmentsLocked(), true
}

// plannedSegments returns the shared links that plans are on, as far as plans are known.
func (s *state) plannedSegments() []plan.Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plannedSegmentsLocked()
}

func (s *state) plannedSegmentsLocked() (list []plan.Segment) {
	for _, pod := range s.plans {
		for _, a := range pod.Attachments {
			if segment, shared := a.Segment(); shared && !slices.Contains(list, segment) {
				list = append(list, segment)
			}
		}
	}
	return list
}

func (s *state) hasPlan(podUID types.UID, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.plans[podUID].Attachments, func(a plan.Attachment) bool { return a.Name == name })
}
