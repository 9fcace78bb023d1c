package attach

import (
	"errors"
	"fmt"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// ErrBusy tells that pods are being attached to shared links just now.
var ErrBusy = errors.New("an attach to a VLAN or an overlay is under way")

// PruneSegments removes our VLAN and VXLAN links that no plan needs. planned is asked under the lock that keeps attaches
// to segments and EnsureOverlay out, for the kernel removes with such a link the links of all pods on it. A plan that is
// there before its attach begins is therefore either seen, or its attach makes the link anew; a plan that is there before
// its EnsureOverlay is either seen, or that makes it anew. Nothing is removed where planned does not know.
//
// It never waits for an attach, since other attaches would then wait for both: it returns ErrBusy. It lets attaches in
// between two removals, each of which takes some 16 ms.
func (a *Attacher) PruneSegments(planned func() (segments []plan.Segment, known bool)) error {
	for {
		more, err := a.pruneSegment(planned)
		if err != nil || !more {
			return err
		}
	}
}

// pruneSegment removes one link.
func (a *Attacher) pruneSegment(planned func() ([]plan.Segment, bool)) (more bool, err error) {
	node, err := a.openNode()
	if err != nil {
		return false, fmt.Errorf("prune shared links: the node's network namespace: %w", err)
	}
	if !a.segments.TryLock() {
		return false, ErrBusy
	}
	defer a.segments.Unlock()
	segments, known := planned()
	if !known {
		return false, ErrBusy
	}
	found, err := segmentLinks(node)
	if err != nil {
		return false, fmt.Errorf("prune shared links: %w", err)
	}
	unused := unusedSegments(segments, found)
	if len(unused) == 0 {
		return false, nil
	}
	if err := plumb.RemoveLink(node, unused[0].index); err != nil {
		return false, fmt.Errorf("prune shared link %s: %w", unused[0].name, err)
	}
	return len(unused) > 1, nil
}

// segmentLink is a link of ours that pods share.
type segmentLink struct {
	index int
	name  string
	// vlan is that of a VLAN link.
	vlan plan.VLAN
}

func segmentLinks(node *kernel.Namespace) (links []segmentLink, err error) {
	vlans, errVLANs := plumb.VLANLinks(node)
	for _, v := range vlans {
		links = append(links, segmentLink{index: v.Index, name: v.Name, vlan: v.VLAN})
	}
	overlays, errOverlays := plumb.OverlayLinks(node)
	for _, o := range overlays {
		links = append(links, segmentLink{index: o.Index, name: o.Name})
	}
	return links, errors.Join(errVLANs, errOverlays)
}

// unusedSegments returns the links that no plan needs. A VLAN link is needed by its name, too: its uplink may have been
// renamed while pods are on it. An overlay is needed by its name alone, whatever else about the link is not as planned.
func unusedSegments(planned []plan.Segment, found []segmentLink) []segmentLink {
	needs := func(s plan.Segment, link segmentLink) bool {
		if s.Overlay != (plan.Overlay{}) {
			return plumb.OverlayName(s.Overlay.VNI) == link.name
		}
		return s.VLAN == link.vlan || plumb.VLANName(s.VLAN.Uplink, s.VLAN.ID) == link.name
	}
	needed := func(link segmentLink) bool {
		return slices.ContainsFunc(planned, func(s plan.Segment) bool { return needs(s, link) })
	}
	return slices.DeleteFunc(slices.Clone(found), needed)
}

// holdSegments keeps the shared links that the attachments are on until release is called.
func (a *Attacher) holdSegments(attachments ...plan.Attachment) (release func()) {
	shared := func(p plan.Attachment) bool { _, ok := p.Segment(); return ok }
	if !slices.ContainsFunc(attachments, shared) {
		return func() {}
	}
	a.segments.RLock()
	return a.segments.RUnlock
}
