package attach

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// errNotRecorded guards the one thing that makes a kill at any instant harmless.
var errNotRecorded = errors.New("what the device was before is not written down since the machine started, so that it could not be made so again")

// NeedsRecord tells whether what a VF or NIC of the node is now has to be written down in the plan of an attachment, ahead of
// everything that is done to it: VFState and NICState read it. What was written down before another boot is of another device.
func NeedsRecord(p plan.Attachment) (bool, error) {
	if p.Lent() == "" || p.RecordedOn() == "" {
		return p.Lent() != "", nil
	}
	boot, err := kernel.BootID()
	return boot != p.RecordedOn(), err
}

// VFState is what the VF of an attachment is now, on the node.
func (a *Attacher) VFState(p plan.Attachment) (plan.VFState, error) {
	vfs, vf, err := a.lookUpVF(p)
	if err != nil {
		return plan.VFState{}, err
	}
	state, err := vfs.State(vf, nil)
	if err != nil {
		return plan.VFState{}, newError(p, StepUplink, err)
	}
	return state, nil
}

// ConfigureVF does ahead of Attach what may be slow, since some drivers must be bound anew for a MAC. Attach does it too, but
// finds it done. A failure leaves the VF to GiveBack.
func (a *Attacher) ConfigureVF(ctx context.Context, p plan.Attachment) error {
	vfs, vf, err := a.lookUpVF(p)
	if err != nil {
		return err
	}
	if err := configureVF(ctx, vfs, vf, p, nil); err != nil {
		return newError(p, StepVF, err)
	}
	return nil
}

// QualifyVF tells the card of a VF that is configured what the attachment's QoSClass asks for, and returns what the card has then.
// A pod may have the VF.
func (a *Attacher) QualifyVF(p plan.Attachment) (plan.VFOutcome, error) {
	vfs, vf, err := a.lookUpVF(p)
	if err != nil {
		return plan.VFOutcome{}, err
	}
	if p.Before == nil {
		return plan.VFOutcome{}, newError(p, StepVF, errNotRecorded)
	}
	outcome, err := vfs.Qualify(vf, *p.Before, p.VF.Settings, p.VF.QoS)
	if err != nil {
		return plan.VFOutcome{}, newError(p, StepVF, err)
	}
	return outcome, nil
}

func (a *Attacher) lookUpVF(p plan.Attachment) (plumb.VFs, plumb.VF, error) {
	vfs, err := a.vfs()
	if err != nil {
		return plumb.VFs{}, plumb.VF{}, newError(p, StepUplink, err)
	}
	vf, err := vfs.Find(p.VF.PCIAddress)
	if err != nil {
		return plumb.VFs{}, plumb.VF{}, newError(p, StepUplink, err)
	}
	return vfs, vf, nil
}

// GiveBack makes the VFs and NICs of the attachments what they were before, wherever they are; the namespace may be gone. The error
// joins an *Error for each that is not clean, which wraps a *plumb.DirtyError: it must not be given to anybody.
func (a *Attacher) GiveBack(ctx context.Context, netnsPath string, attachments []plan.Attachment) error {
	_, attachments = split(attachments)
	if len(attachments) == 0 {
		return nil
	}
	vfs, err := a.vfs()
	if err != nil {
		return newError(attachments[0], StepRestore, err)
	}
	pod, err := kernel.OpenNamespace(netnsPath)
	if err == nil {
		defer pod.Close()
	} else if !errors.Is(err, kernel.ErrNamespaceGone) {
		return newError(attachments[0], StepRestore, err)
	}
	var failed []error
	for _, p := range attachments {
		if p.VF != nil {
			err = releaseVF(ctx, vfs, p, pod)
		} else {
			err = a.releaseNIC(ctx, plumb.NICs{Node: vfs.Node}, p, pod)
		}
		if err != nil {
			failed = append(failed, newError(p, StepRestore, err))
		}
	}
	return errors.Join(failed...)
}

func releaseVF(ctx context.Context, vfs plumb.VFs, p plan.Attachment, pod *kernel.Namespace) error {
	if p.Before == nil {
		return nil // Nothing was done to it.
	}
	vf, err := vfs.Find(p.VF.PCIAddress)
	if err == nil {
		err = vfs.Release(ctx, vf, *p.Before, pod)
	}
	if errors.Is(err, plumb.ErrNoVF) {
		return nil // One that is gone is given to nobody, and is new when it comes back.
	}
	return err
}

func (a *Attacher) vfs() (plumb.VFs, error) {
	node, err := a.openNode()
	if err != nil {
		return plumb.VFs{}, fmt.Errorf("the node's network namespace: %w", err)
	}
	return plumb.VFs{Node: node, Sys: a.sys}, nil
}

// split takes apart what is made and removed in the pod, and what comes from the node and goes back.
func split(attachments []plan.Attachment) (links, lent []plan.Attachment) {
	for _, p := range attachments {
		if p.Lent() == "" {
			links = append(links, p)
		} else {
			lent = append(lent, p)
		}
	}
	return links, lent
}

func configureVF(ctx context.Context, vfs plumb.VFs, vf plumb.VF, p plan.Attachment, pod *kernel.Namespace) error {
	if needs, err := NeedsRecord(p); err != nil {
		return err
	} else if needs {
		return errNotRecorded
	}
	if p.VF.VFIO {
		if _, err := vfs.BindVFIO(ctx, vf); err != nil {
			return err
		}
	}
	return vfs.Configure(ctx, vf, p.VF.Settings, net.HardwareAddr(p.MAC), pod)
}

// qualifyVF has the class in force before the pod has the VF. What the driver refuses of it stands in the plan since QualifyVF.
func qualifyVF(vfs plumb.VFs, vf plumb.VF, p plan.Attachment) error {
	if p.VF.QoS == nil {
		return nil
	}
	_, err := vfs.Qualify(vf, *p.Before, p.VF.Settings, p.VF.QoS)
	return err
}

// findVF looks up the VF and, unless the pod has it already, sees to it that a failure of this attach restores it.
func (r *run) findVF(p plan.Attachment) (plumb.VF, error) {
	vfs := plumb.VFs{Node: r.node, Sys: r.sys}
	vf, err := vfs.Find(p.VF.PCIAddress)
	if err != nil || p.Before == nil {
		return vf, err
	}
	inPod, err := plumb.HasVF(r.pod, vf)
	if err == nil && !inPod {
		r.undo.push("restore "+vf.String(), func() error {
			return vfs.Release(context.WithoutCancel(r.ctx), vf, *p.Before, r.pod)
		})
	}
	return vf, err
}

// vfSteps are the first half of attach for a VF; link stays empty for one that a program of the pod drives.
func (r *run) vfSteps(p plan.Attachment, link *plumb.Link) []step {
	vfs := plumb.VFs{Node: r.node, Sys: r.sys}
	var vf plumb.VF
	steps := []step{
		{StepUplink, func() (err error) { vf, err = r.findVF(p); return err }},
		{StepVF, func() error {
			if err := configureVF(r.ctx, vfs, vf, p, r.pod); err != nil {
				return err
			}
			return qualifyVF(vfs, vf, p)
		}},
	}
	if p.VF.VFIO {
		return steps
	}
	return append(steps, step{StepLink, func() (err error) {
		if p.VF.RDMA {
			if err := vfs.MoveRDMA(vf, r.pod); err != nil {
				return err
			}
		}
		*link, _, err = vfs.Move(vf, r.pod, p.Interface, p.MTU)
		return err
	}})
}

// lentMismatch returns how the interface of a VF or NIC in the pod differs, or "".
func lentMismatch(p plan.Attachment, link plumb.Link) string {
	switch {
	case p.VF != nil && (!link.OurVF || link.PCIAddress != p.VF.PCIAddress):
		return fmt.Sprintf("the interface is not the VF %s", p.VF.PCIAddress)
	case p.HostDevice != nil && link.NIC != p.HostDevice.Interface:
		return fmt.Sprintf("the interface is not NIC %s of the node", p.HostDevice.Interface)
	case link.MAC.String() != p.MAC.String():
		return fmt.Sprintf("the MAC is %s instead of %s", link.MAC, p.MAC)
	case p.MTU != 0 && link.MTU != p.MTU:
		return fmt.Sprintf("the MTU is %d instead of %d", link.MTU, p.MTU)
	}
	return ""
}

// checkVF compares what the node knows of a VF: what its PF was told, and the driver of one that a program of the pod drives.
func (r *run) checkVF(p plan.Attachment) error {
	vfs := plumb.VFs{Node: r.node, Sys: r.sys}
	vf, err := vfs.Find(p.VF.PCIAddress)
	if err != nil {
		return err
	}
	if p.VF.VFIO {
		driver, err := vfs.Driver(vf.PCIAddress)
		if err == nil && driver != plumb.VFIODriver {
			err = fmt.Errorf("the driver of %s is %q instead of %s", vf, driver, plumb.VFIODriver)
		}
		if err != nil {
			return err
		}
	}
	mismatch, err := vfs.Check(vf, p.VF.InForce(), net.HardwareAddr(p.MAC))
	if err == nil && mismatch != "" {
		err = errors.New(mismatch)
	}
	return err
}
