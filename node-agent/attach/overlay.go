package attach

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// minIPv6MTU is that of RFC 8200: below it the kernel takes IPv6 off an interface.
const minIPv6MTU = 1280

// EnsureOverlay makes the node's link for an overlay, see plumb.EnsureOverlay. An Attach only finds it: its entries and its
// guard take longer than a hook has. The plan of the pod must be known to PruneSegments before.
func (a *Attacher) EnsureOverlay(o plan.Overlay) (link plumb.Uplink, created bool, err error) {
	node, err := a.openNode()
	if err != nil {
		return plumb.Uplink{}, false, fmt.Errorf("overlay of rack %s: the node's network namespace: %w", o.Rack, err)
	}
	a.segments.RLock()
	defer a.segments.RUnlock()
	link, created, err = plumb.EnsureOverlay(node, a.proc, o)
	if err != nil {
		return plumb.Uplink{}, false, fmt.Errorf("overlay of rack %s: %w", o.Rack, err)
	}
	return link, created, nil
}

// overlay finds the link that is ready for pods, and refuses a pod whose frames would not fit into it.
func (r *run) overlay(p plan.Attachment) (plumb.Uplink, error) {
	link, err := plumb.FindOverlay(r.node, *p.Overlay)
	if err != nil {
		return plumb.Uplink{}, err
	}
	if p.MTU > link.MTU {
		return plumb.Uplink{}, fmt.Errorf("MTU %d exceeds that of the overlay of rack %s on this node, which is %d: lower the Network's spec.mtu, or raise the MTU between the nodes",
			p.MTU, p.Overlay.Rack, link.MTU)
	}
	has6 := slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
	if has6 && link.MTU < minIPv6MTU {
		return plumb.Uplink{}, fmt.Errorf("the MTU of the overlay of rack %s on this node is %d, and IPv6 needs %d: raise the MTU between the nodes",
			p.Overlay.Rack, link.MTU, minIPv6MTU)
	}
	return link, nil
}

// carrier names what the macvlan of a plan is on, for errors.
func carrier(p plan.Attachment) string {
	if p.Overlay != nil {
		return plumb.OverlayName(p.Overlay.VNI)
	}
	return p.Device.Uplink
}
