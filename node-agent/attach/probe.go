package attach

import (
	"context"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Probe looks for other holders of an attachment's addresses on the segment that it will be on, which is not
// that of the bare uplink where the plan has a VLAN. See plumb.Probe. The error is an *Error. An overlay has no other
// holders: its link answers all questions itself, from what it was told. A VF's segment cannot be asked from the node: the
// card lets the VF alone send into its VLAN. Nor can that of a NIC which is down until the pod has it.
func (a *Attacher) Probe(ctx context.Context, p plan.Attachment) (conflicts []plumb.Conflict, err error) {
	if p.Overlay != nil || p.VF != nil || p.HostDevice != nil && (p.HostDevice.Before == nil || !p.HostDevice.Before.Up) {
		return nil, nil
	}
	node, err := a.openNode()
	if err != nil {
		return nil, newError(p, StepProbe, err)
	}
	defer a.holdSegments(p)()
	name := p.Device.Uplink
	if vlan, tagged := p.VLAN(); tagged {
		name = plumb.VLANName(vlan.Uplink, vlan.ID)
		if _, err := plumb.EnsureVLAN(node, vlan.Uplink, vlan.ID); err != nil {
			return nil, newError(p, StepProbe, err)
		}
	}
	err = node.Do(func() (err error) { conflicts, err = plumb.Probe(ctx, name, hosts(p)); return err })
	if err != nil {
		return conflicts, newError(p, StepProbe, err)
	}
	return conflicts, nil
}
