package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// restoreLimit ends one try to give a VF back; restoreAgain is the pause before the next.
const (
	restoreLimit = time.Minute
	restoreAgain = 10 * time.Second
	// settleVF is how long a VF that was just made may be without an interface.
	settleVF = 4 * time.Second
)

var errUnclean = errors.New("is not clean")

// planVF plans an attachment that is a VF, and configures it unless a sandbox may have it. It waits until the pod that had the VF
// before has given it back. What the VF is like is in the ledger before anything is done to it, and a plan that knows
// keeps what it knows: by then the VF is as the plan has made it.
func (k *Keeper) planVF(ctx context.Context, pod plan.Pod, a plan.Attachment) (plan.Attachment, error) {
	me := planned{pod.UID, a.Name}
	unlock, err := k.takeVF(ctx, me, a)
	if err != nil {
		return plan.Attachment{}, err
	}
	defer unlock()
	former, _ := k.state.attachment(me)
	if former.Before != nil && former.VF.PCIAddress != a.VF.PCIAddress {
		return plan.Attachment{}, fmt.Errorf("the pod has VF %s already, and cannot have %s for the same interface", former.VF.PCIAddress, a.VF.PCIAddress)
	}
	a.Before = former.Before
	held := k.state.uses(pod.UID, a.Interface)
	if held && former.VF != nil && a.QoS.Equal(former.QoS) {
		a.VF.QoS = former.VF.QoS // with what came of it
	}
	a, err = k.storeVF(pod, a, held)
	for begin := time.Now(); errors.Is(err, errUnclean) && time.Since(begin) < settleVF; a, err = k.storeVF(pod, a, held) {
		select {
		case <-ctx.Done():
			return plan.Attachment{}, err
		case <-time.After(settleVF / 20):
		}
	}
	if err != nil || held {
		return a, err
	}
	return k.configureVF(ctx, pod, a)
}

// configureVF makes a VF what the plan says, and has in the plan what came of its class: an agent that starts later has no other way
// to know that.
func (k *Keeper) configureVF(ctx context.Context, pod plan.Pod, a plan.Attachment) (plan.Attachment, error) {
	if err := k.Path.ConfigureVF(ctx, a); err != nil || a.VF.QoS == nil {
		return a, err
	}
	outcome, err := k.Path.QualifyVF(a)
	if err != nil {
		return a, err
	}
	a.VF = a.VF.WithOutcome(&outcome)
	if err := k.store(pod, a); err != nil {
		return a, fmt.Errorf("write the plan: %w", err)
	}
	return a, nil
}

// storeVF writes the plan with what the VF was before. ChangeVFs either waits for it or has made all VFs anew before.
func (k *Keeper) storeVF(pod plan.Pod, a plan.Attachment, held bool) (_ plan.Attachment, err error) {
	k.numVFs.RLock()
	defer k.numVFs.RUnlock()
	if a.Before, err = k.recorded(a, held); err != nil {
		return a, err
	}
	if err := k.store(pod, a); err != nil {
		return a, fmt.Errorf("write the plan: %w", err)
	}
	return a, nil
}

// ChangeVFs calls change, which may take all VFs of a PF away for a moment, with the PCI addresses of the VFs that pods have or
// that have not come back from them. No other VF is planned for a pod until it returns.
func (k *Keeper) ChangeVFs(change func(inUse []string) error) error {
	k.numVFs.Lock()
	defer k.numVFs.Unlock()
	return change(k.state.vfsInUse())
}

// refuse reports an attachment that cannot be prepared, so that its condition tells why.
func (k *Keeper) refuse(pod plan.Pod, a plan.Attachment, err error) error {
	var path *attach.Error
	if !errors.As(err, &path) {
		err = &attach.Error{Network: a.Network, Interface: a.Interface, Step: attach.StepVF, Err: err}
	}
	k.Publisher.Publish(failed(Sandbox{Namespace: pod.Namespace, Name: pod.Name, PodUID: pod.UID}, []plan.Attachment{a}, err))
	return err
}

// recorded is what the VF was before anything was done to it. A VF that somebody else uses or has left dirty is refused.
func (k *Keeper) recorded(a plan.Attachment, held bool) (*plan.VFState, error) {
	needs, err := attach.NeedsVFState(a)
	if err != nil || !needs {
		return a.Before, err
	}
	now, err := k.Path.VFState(a)
	if err != nil {
		return nil, err
	}
	if reason := unclean(now); reason != "" && !held {
		return nil, fmt.Errorf("VF %d of PF %s (%s) %w: %s", a.VF.Index, a.VF.PF, a.VF.PCIAddress, errUnclean, reason)
	}
	return &now, nil
}

// takeVF locks the VF of an attachment when no other attachment has it.
func (k *Keeper) takeVF(ctx context.Context, me planned, a plan.Attachment) (unlock func(), err error) {
	for {
		unlock, err := k.vfLocks.lock(ctx, a)
		if err != nil {
			return nil, err
		}
		holder, freed, taken := k.state.holderOf(a.VF.PCIAddress, me)
		if !taken {
			return unlock, nil
		}
		unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("VF %d of PF %s (%s) %s: %w", a.VF.Index, a.VF.PF, a.VF.PCIAddress, holder, ctx.Err())
		}
	}
}

// unrecorded tells whether a plan is of no use to the hook, because the machine was started anew since.
func unrecorded(attachments []plan.Attachment) error {
	for _, a := range attachments {
		if needs, err := attach.NeedsVFState(a); err != nil || needs {
			return fmt.Errorf("network %q interface %s: VF %s is prepared anew, since the machine was started after it was planned: the next try has it",
				a.Network, a.Interface, a.VF.PCIAddress)
		}
	}
	return nil
}

// renewVFs plans VFs anew that were planned before the machine was started: the kubelet does not ask again for pods that it
// had prepared.
func (k *Keeper) renewVFs() {
	for _, pod := range k.state.pods() {
		for _, a := range pod.Attachments {
			if unrecorded([]plan.Attachment{a}) == nil {
				continue
			}
			pod := plan.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
			ctx, cancel := context.WithTimeout(k.base, verifyLimit)
			if _, err := k.planVF(ctx, pod, a); err != nil {
				k.Log.Info("VF is not prepared anew", "pod", pod.Namespace+"/"+pod.Name, "network", a.Network, "cause", err.Error())
			}
			cancel()
		}
	}
}

// configureAgain is for the runtime's next try, after a failure that made the VFs what they were: a driver that is bound anew
// takes too long for a hook.
func (k *Keeper) configureAgain(ctx context.Context, podUID types.UID, attachments []plan.Attachment) {
	for _, a := range attachments {
		if a.VF == nil {
			continue
		}
		if err := k.configurePlanned(ctx, planned{podUID, a.Name}, a); err != nil {
			k.Log.Error(err, "VF of a pod that was refused", "podUID", podUID)
		}
	}
}

// configurePlanned leaves a VF alone that a sandbox may have by now, or that is being taken back.
func (k *Keeper) configurePlanned(ctx context.Context, me planned, a plan.Attachment) error {
	unlock, err := k.vfLocks.lock(ctx, a)
	if err != nil {
		return err
	}
	defer unlock()
	if k.state.uses(me.PodUID, a.Interface) || !k.state.hasPlan(me.PodUID, me.Name) {
		return nil
	}
	return k.Path.ConfigureVF(ctx, a) // the attach sees to the class
}

// giveBack makes the VFs of dropped plans what they were, each in the background, and again for as long as they are not.
func (k *Keeper) giveBack(now time.Time) {
	for _, o := range k.state.startRestoring(now) {
		go k.restore(o)
	}
}

// restore takes the plan out of the ledger before the VF is free: after a crash in between, the VF would be taken from the
// next pod.
func (k *Keeper) restore(o owed) {
	ctx, cancel := context.WithTimeout(k.base, restoreLimit)
	defer cancel()
	err := k.makeClean(ctx, o)
	if err == nil {
		err = k.forgetVF(o)
	}
	if k.base.Err() != nil {
		return // The next process goes on.
	}
	if err == nil {
		if o.dirty != "" {
			k.TellNode(v1alpha1.ReasonVFClean, fmt.Sprintf("VF %d of PF %s (%s) is as it was before pod %s/%s had it",
				o.VF.Index, o.VF.PF, o.VF.PCIAddress, o.pod.Namespace, o.pod.Name))
		}
		k.Devices.SetDirty(o.VF.PCIAddress, "")
		k.Wake()
		return
	}
	if k.state.dirty(o.planned, err.Error(), time.Now().Add(restoreAgain)) {
		k.Log.Error(err, "VF is not offered to pods until it is clean", "pod", o.pod.Namespace+"/"+o.pod.Name, "podUID", o.PodUID,
			"network", o.Network, "pf", o.VF.PF, "vf", o.VF.Index)
		k.TellNode(v1alpha1.ReasonVFNotClean, fmt.Sprintf("no pod gets the VF that pod %s/%s had, until it is clean: %v", o.pod.Namespace, o.pod.Name, err))
	}
	k.Devices.SetDirty(o.VF.PCIAddress, shortReason(err))
	k.Wake()
}

func (k *Keeper) makeClean(ctx context.Context, o owed) error {
	if err := k.cleared(ctx, o.PodUID); err != nil {
		return err
	}
	unlock, err := k.vfLocks.lock(ctx, o.Attachment)
	if err != nil {
		return err
	}
	defer unlock()
	return k.Path.ReleaseVFs(ctx, k.state.netns(o.PodUID), []plan.Attachment{o.Attachment})
}

func (k *Keeper) forgetVF(o owed) error {
	k.ledgerMu.Lock()
	defer k.ledgerMu.Unlock()
	if err := k.record(k.state.recordWithout(o.planned)); err != nil {
		return err
	}
	k.state.paid(o.planned)
	return nil
}
