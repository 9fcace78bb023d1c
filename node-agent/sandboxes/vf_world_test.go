package sandboxes

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

const vfVLAN = 100

// vfDevice is the node's only VF.
var vfDevice = plan.Device{Name: "vf-0000-01-10-0", PCIAddress: "0000:01:10.0", PF: "ens9", PFAddress: "0000:01:00.0", VFIndex: 3, IOMMUGroup: "12"}

// fakeVF is what the kernel knows of it. Two at work on it at once are a mistake that tests see.
type fakeVF struct {
	state plan.VFState
	// stuck keeps a released VF as it is; configureError refuses a setting; takes makes all of it slow.
	stuck          string
	configureError error
	// refusals are of what a QoSClass asks for, qualifyError keeps the card from being told.
	refusals     map[string]string
	qualifyError error
	takes        time.Duration
	// log has what was done, and mistakes what must not have been.
	log      []string
	mistakes []string
	busy     bool
	// dirty is what the scheduler is told, told what people are.
	dirty string
	told  []string
}

func newFakeVF() fakeVF {
	boot, err := kernel.BootID()
	if err != nil {
		panic(err)
	}
	return fakeVF{state: plan.VFState{Boot: boot, Driver: "igbvf", Interface: "ens9v3", MAC: "02:00:00:00:09:03", AdminMAC: plan.NoMAC, LinkState: "auto"}}
}

func (v *fakeVF) clean() bool { return v.state == newFakeVF().state }

// back makes it what it was.
func (v *fakeVF) back(a plan.Attachment) {
	v.log = append(v.log, "release")
	if v.stuck == "" {
		v.state = *a.Before
	}
}

// work is one piece of work on the VF.
func (w *world) work(name string, a plan.Attachment, do func() error) error {
	w.mu.Lock()
	if w.vf.busy {
		w.vf.mistakes = append(w.vf.mistakes, name+" while other work was under way")
	}
	w.vf.busy = true
	recorded := slices.ContainsFunc(w.ledger[box.PodUID].Attachments, func(p plan.Attachment) bool { return p.VF != nil && p.Before != nil }) ||
		slices.ContainsFunc(w.ledger["next"].Attachments, func(p plan.Attachment) bool { return p.VF != nil && p.Before != nil })
	if name != "state" && (a.Before == nil || !recorded) {
		w.vf.mistakes = append(w.vf.mistakes, name+" before the ledger knew what the VF was")
	}
	takes := w.vf.takes
	w.mu.Unlock()
	<-time.After(takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vf.busy = false
	return do()
}

func (w *world) VFState(a plan.Attachment) (state plan.VFState, err error) {
	err = w.work("state", a, func() error { state = w.vf.state; return nil })
	return state, err
}

func (w *world) ConfigureVF(_ context.Context, a plan.Attachment) error {
	return w.work("configure", a, func() error {
		w.vf.log = append(w.vf.log, "configure")
		w.vf.state.VLAN = vfVLAN
		return w.vf.configureError
	})
}

func (w *world) QualifyVF(a plan.Attachment) (outcome plan.VFOutcome, err error) {
	err = w.work("qualify", a, func() error {
		if w.vf.qualifyError != nil {
			return w.vf.qualifyError
		}
		class := a.VF.QoS.Settings()
		if class.MaxTxRate != nil {
			w.vf.state.MaxTxRate = *class.MaxTxRate
		}
		outcome = plan.VFOutcome{Refused: w.vf.refusals, MaxTxRate: w.vf.state.MaxTxRate}
		return nil
	})
	return outcome, err
}

func (w *world) GiveBack(_ context.Context, _ string, attachments []plan.Attachment) error {
	if attachments[0].HostDevice != nil {
		w.awaitNIC(attachments)
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.giveBackNIC(attachments[0])
	}
	return w.work("release", attachments[0], func() error {
		w.vf.back(attachments[0])
		if w.vf.stuck == "" {
			return nil
		}
		return &attach.Error{Network: "fast", Interface: "net1", Step: attach.StepRestore,
			Err: &plumb.DirtyError{Device: "VF 3 of PF ens9 (" + vfDevice.PCIAddress + ")", Reasons: []string{w.vf.stuck}}}
	})
}

func (devices) VFs() []plan.Device { return []plan.Device{vfDevice} }
func (d devices) SetDirty(lent, reason string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	dirty := &d.nic.dirty
	if lent == vfDevice.PCIAddress {
		dirty = &d.vf.dirty
	}
	changed := *dirty != reason
	*dirty = reason
	return changed
}

// seen returns what is known of the VF.
func (w *world) seen() fakeVF {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.vf
}

func vfOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	vlan := int32(vfVLAN)
	pna.Spec.NetworkName, pna.Spec.Type, pna.Spec.Macvlan = "fast", v1alpha1.NetworkTypeSRIOV, nil
	pna.Spec.SRIOV = &v1alpha1.SRIOVSpec{VLAN: &vlan}
	return pna
}

func vfDeleted() *v1alpha1.PodNetworkAttachment { return deleted(vfOrder()) }

func nextOrder() *v1alpha1.PodNetworkAttachment { return ofNextPod(vfOrder()) }

func vfRequest() Request {
	r := request
	r.Claim.Device, r.Network = vfDevice.Name, "fast"
	return r
}

func nextRequest() Request { return requestOfNextPod(vfRequest()) }

func vfBox() Sandbox {
	b := box
	b.Selection = "fast"
	return b
}

var errRefused = &attach.Error{Network: "fast", Interface: "net1", Step: attach.StepVF,
	Err: &plumb.VFError{VF: plumb.VF{PF: "ens9", Index: 3, PCIAddress: vfDevice.PCIAddress}, Attribute: "linkState", Wanted: "enable",
		Meaning: "the driver igb of the PF cannot set it", Err: errors.New("operation not supported")}}
