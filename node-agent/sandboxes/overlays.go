package sandboxes

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// overlayLimit is how long the repair of a pod waits for its overlays; others are to be repaired meanwhile.
const overlayLimit = 10 * time.Second

// StartOverlays begins the overlays that the plans of the ledger are on. It comes before any door opens.
func (k *Keeper) StartOverlays() {
	planned := k.state.plannedSegments()
	k.Overlays.Start(overlaysOf(planned))
}

// ensureOverlays waits until the overlays of planned attachments are there. It is too slow for a hook.
func (k *Keeper) ensureOverlays(ctx context.Context, podUID types.UID, attachments []plan.Attachment) error {
	defer k.used(podUID, attachments)
	for _, a := range attachments {
		if a.Overlay == nil {
			continue
		}
		if err := k.Overlays.Ensure(ctx, *a.Overlay); err != nil {
			return fmt.Errorf("interface %s: overlay: %w", a.Interface, err)
		}
	}
	return nil
}

// overlaysAgain is for a hook that failed, maybe because somebody removed the link of an overlay.
func (k *Keeper) overlaysAgain(podUID types.UID, attachments []plan.Attachment) {
	ctx, cancel := context.WithTimeout(k.base, overlayLimit)
	defer cancel()
	if err := k.ensureOverlays(ctx, podUID, attachments); err != nil {
		k.Log.Error(err, "overlay of a pod that was refused", "podUID", podUID)
	}
}

// offOverlays returns the attachments whose addresses are to be announced: the nodes of an overlay know them from the API, and
// an announcement would not leave the node.
func offOverlays(attachments []plan.Attachment) []plan.Attachment {
	return slices.DeleteFunc(slices.Clone(attachments), func(a plan.Attachment) bool { return a.Overlay != nil })
}

// overlays returns the overlays among segments.
func (s *state) overlays() (list []plan.Overlay, known bool) {
	segments, known := s.segments()
	return overlaysOf(segments), known
}

func overlaysOf(segments []plan.Segment) (list []plan.Overlay) {
	for _, segment := range segments {
		if segment.Overlay != (plan.Overlay{}) {
			list = append(list, segment.Overlay)
		}
	}
	return list
}
