package attach

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// NICState is what the NIC of an attachment is now, on the node, and why it cannot be given to a pod, as a clause; "" where it can.
func (a *Attacher) NICState(p plan.Attachment) (state plan.NICState, inUse string, err error) {
	node, err := a.openNode()
	if err != nil {
		return plan.NICState{}, "", newError(p, StepNIC, err)
	}
	nics, nic := plumb.NICs{Node: node}, p.HostDevice.Interface
	if p.HasVF() {
		if nic, err = nics.At(p.Device.PCIAddress); err == nil && nic == "" {
			return plan.NICState{}, "it has no interface on the node, since no driver has it or one that makes none", nil
		}
	}
	if err == nil {
		state, inUse, err = nics.State(nic)
	}
	if err != nil {
		return plan.NICState{}, "", newError(p, StepNIC, err)
	}
	return state, inUse, nil
}

// releaseNIC takes a NIC for gone only where its hardware is: the kernel may bring it home late, or another namespace have it.
func (a *Attacher) releaseNIC(ctx context.Context, nics plumb.NICs, p plan.Attachment, pod *kernel.Namespace) error {
	if p.HostDevice.Before == nil {
		return nil // Nothing was done to it.
	}
	err := nics.Release(ctx, *p.HostDevice, pod)
	if address := p.Device.PCIAddress; errors.Is(err, plumb.ErrNICGone) && address != "" {
		if _, missing := os.Stat(a.sys.Path("bus/pci/devices/" + address)); missing == nil {
			return &plumb.DirtyError{Device: p.LentName(), Reasons: []string{"it has not come back to the node"}}
		}
	}
	return err
}

// nicSteps are the first half of attach for a NIC. One that the kernel has brought home from a former sandbox is made what it was first.
// A failure of this attach restores one that was not in the pod before it.
func (r *run) nicSteps(p plan.Attachment, link *plumb.Link) []step {
	nics, device := plumb.NICs{Node: r.node}, p.HostDevice
	return []step{{StepNIC, func() error {
		if needs, err := NeedsRecord(p); err != nil {
			return err
		} else if needs {
			return errNotRecorded
		}
		inPod, err := nics.InPod(*device, r.pod)
		if err != nil {
			return err
		}
		mtu := p.MTU
		if !inPod {
			if err := r.releaseNIC(r.ctx, nics, p, r.pod); err != nil {
				return err
			}
			mtu = cmp.Or(mtu, device.Before.MTU)
			r.undo.push("restore NIC "+device.Interface, func() error { return r.releaseNIC(context.WithoutCancel(r.ctx), nics, p, r.pod) })
		}
		*link, err = nics.Move(*device, r.pod, p.Interface, net.HardwareAddr(p.MAC), mtu)
		return err
	}}}
}
