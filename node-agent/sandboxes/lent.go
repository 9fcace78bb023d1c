package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// restoreLimit ends one try to give a VF or a NIC back; restoreAgain is the pause before the next.
const (
	restoreLimit = time.Minute
	restoreAgain = 10 * time.Second
	// settleLent is how long a VF that was just made may be without an interface, and a NIC have links that are on their way out.
	settleLent = 4 * time.Second
)

// errUnclean is of VFs, errNotFree of NICs; both may pass.
var (
	errUnclean = errors.New("is not clean")
	errNotFree = errors.New("is not free")
)

// planLent plans an attachment that has a VF or a NIC for itself, and configures the VF unless a sandbox may have it. It waits until
// the pod that had the device before has given it back. What the device is like is in the ledger before anything is done to it, and
// a plan that knows keeps what it knows: by then the device is as the plan has made it.
func (k *Keeper) planLent(ctx context.Context, pod plan.Pod, a plan.Attachment) (plan.Attachment, error) {
	me := planned{pod.UID, a.Name}
	unlock, err := k.take(ctx, me, a)
	if err != nil {
		return plan.Attachment{}, err
	}
	defer unlock()
	if a.HostDevice != nil {
		k.applyQoS() // Those who had links on the NIC are gone, and their queues must not go with it.
	}
	former, _ := k.state.attachment(me)
	if former.RecordedOn() != "" && former.Lent() != a.Lent() {
		return plan.Attachment{}, fmt.Errorf("the pod has %s already, and cannot have %s for the same interface", former.LentName(), a.LentName())
	}
	a = a.WithRecordOf(former)
	held := k.state.uses(pod.UID, a.Interface)
	if held && a.VF != nil && former.VF != nil && a.QoS.Equal(former.QoS) {
		a.VF.QoS = former.VF.QoS // with what came of it
	}
	a, err = k.storeLent(pod, a, held)
	for begin := time.Now(); (errors.Is(err, errUnclean) || errors.Is(err, errNotFree)) && time.Since(begin) < settleLent; a, err = k.storeLent(pod, a, held) {
		select {
		case <-ctx.Done():
			return plan.Attachment{}, err
		case <-time.After(settleLent / 20):
		}
	}
	if err != nil || held || a.VF == nil {
		return a, err
	}
	return k.configureVF(ctx, pod, a)
}

// storeLent writes the plan with what the device was before. ChangeVFs either waits for it or has made all VFs anew before.
func (k *Keeper) storeLent(pod plan.Pod, a plan.Attachment, held bool) (_ plan.Attachment, err error) {
	k.numVFs.RLock()
	defer k.numVFs.RUnlock()
	if a, err = k.recorded(a, held); err != nil {
		return a, err
	}
	if err := k.store(pod, a); err != nil {
		return a, fmt.Errorf("write the plan: %w", err)
	}
	return a, nil
}

// LentNICs are the attachments that have a NIC of the node, or whose NIC has not come back.
func (k *Keeper) LentNICs() []plan.Attachment { return k.state.lentNICs() }

// refuse reports an attachment that cannot be prepared, so that its condition tells why.
func (k *Keeper) refuse(pod plan.Pod, a plan.Attachment, err error) error {
	var path *attach.Error
	if !errors.As(err, &path) {
		step := attach.StepVF
		if a.HostDevice != nil {
			step = attach.StepNIC
		}
		err = &attach.Error{Network: a.Network, Interface: a.Interface, Step: step, Err: err}
	}
	k.Publisher.Publish(failed(Sandbox{Namespace: pod.Namespace, Name: pod.Name, PodUID: pod.UID}, []plan.Attachment{a}, err))
	return err
}

// recorded returns the attachment with what its device was before anything was done to it. One that somebody else uses or has left
// dirty is refused.
func (k *Keeper) recorded(a plan.Attachment, held bool) (plan.Attachment, error) {
	needs, err := attach.NeedsRecord(a)
	if err != nil || !needs {
		return a, err
	}
	with, reason, trouble := a, "", errUnclean
	if a.HostDevice != nil {
		var now plan.NICState
		now, reason, err = k.Path.NICState(a)
		with, trouble = a.WithNICState(&now), errNotFree
	} else {
		var now plan.VFState
		now, err = k.Path.VFState(a)
		with.Before, reason = &now, unclean(now)
	}
	if err == nil && reason != "" && (!held || a.HostDevice != nil) {
		err = fmt.Errorf("%s %w: %s", a.LentName(), trouble, reason)
	}
	if err != nil {
		return a, err
	}
	return with, nil
}

// take locks the device of an attachment when no other attachment has it.
func (k *Keeper) take(ctx context.Context, me planned, a plan.Attachment) (unlock func(), err error) {
	for {
		unlock, err := k.lentLocks.lock(ctx, a)
		if err != nil {
			return nil, err
		}
		holder, freed, taken := k.state.holderOf(a.Lent(), me)
		if !taken {
			return unlock, nil
		}
		unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: %w", a.LentName(), holder, ctx.Err())
		}
	}
}

// unrecorded tells whether a plan is of no use to the hook, because the machine was started anew since.
func unrecorded(attachments []plan.Attachment) error {
	for _, a := range attachments {
		if needs, err := attach.NeedsRecord(a); err != nil || needs {
			return fmt.Errorf("network %q interface %s: %s is prepared anew, since the machine was started after it was planned: the next try has it",
				a.Network, a.Interface, a.LentName())
		}
	}
	return nil
}

// renewLent plans VFs and NICs anew that were planned before the machine was started: the kubelet does not ask again for pods that it
// had prepared.
func (k *Keeper) renewLent() {
	for _, pod := range k.state.pods() {
		for _, a := range pod.Attachments {
			if unrecorded([]plan.Attachment{a}) == nil {
				continue
			}
			pod := plan.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
			ctx, cancel := context.WithTimeout(k.base, verifyLimit)
			if _, err := k.planLent(ctx, pod, a); err != nil {
				k.Log.Info("device is not prepared anew", "pod", pod.Namespace+"/"+pod.Name, "network", a.Network, "device", a.LentName(), "cause", err.Error())
			}
			cancel()
		}
	}
}

// giveBack makes the VFs and NICs of dropped plans what they were, each in the background, and again for as long as they are not.
func (k *Keeper) giveBack(now time.Time) {
	for _, o := range k.state.startRestoring(now) {
		go k.restore(o)
	}
}

// restore takes the plan out of the ledger before the device is free: after a crash in between, the device would be taken from the
// next pod. A NIC that is no more cannot be restored, nor given to anybody.
func (k *Keeper) restore(o owed) {
	ctx, cancel := context.WithTimeout(k.base, restoreLimit)
	defer cancel()
	err := k.makeClean(ctx, o)
	if errors.Is(err, plumb.ErrNICGone) {
		k.Log.Error(err, "a NIC has not come back from a pod", "pod", o.pod.Namespace+"/"+o.pod.Name, "podUID", o.PodUID, "network", o.Network)
		k.TellNode(v1alpha1.ReasonNICGone, fmt.Sprintf("%s has not come back from pod %s/%s: it was pulled, or was no hardware and ended with the pod's namespace while the node agent was away",
			o.LentName(), o.pod.Namespace, o.pod.Name))
		err = nil
	}
	if err == nil {
		err = k.forgetLent(o)
	}
	if k.base.Err() != nil {
		return // The next process goes on.
	}
	if err == nil {
		if o.dirty != "" {
			k.TellNode(o.reason(v1alpha1.ReasonVFClean, v1alpha1.ReasonNICClean), fmt.Sprintf("%s is as it was before pod %s/%s had it",
				o.LentName(), o.pod.Namespace, o.pod.Name))
		}
		k.Devices.SetDirty(o.Lent(), "")
		k.Wake()
		return
	}
	if k.state.dirty(o.planned, err.Error(), time.Now().Add(restoreAgain)) {
		k.Log.Error(err, "device is not offered to pods until it is clean", "pod", o.pod.Namespace+"/"+o.pod.Name, "podUID", o.PodUID,
			"network", o.Network, "device", o.LentName())
		k.TellNode(o.reason(v1alpha1.ReasonVFNotClean, v1alpha1.ReasonNICNotClean),
			fmt.Sprintf("no pod gets %s that pod %s/%s had, until it is clean: %v", o.LentName(), o.pod.Namespace, o.pod.Name, err))
	}
	k.Devices.SetDirty(o.Lent(), shortReason(err))
	k.Wake()
}

func (k *Keeper) makeClean(ctx context.Context, o owed) error {
	if err := k.cleared(ctx, o.PodUID); err != nil {
		return err
	}
	unlock, err := k.lentLocks.lock(ctx, o.Attachment)
	if err != nil {
		return err
	}
	defer unlock()
	return k.Path.GiveBack(ctx, k.state.netns(o.PodUID), []plan.Attachment{o.Attachment})
}

func (k *Keeper) forgetLent(o owed) error {
	k.ledgerMu.Lock()
	defer k.ledgerMu.Unlock()
	if err := k.record(k.state.recordWithout(o.planned)); err != nil {
		return err
	}
	k.state.paid(o.planned)
	return nil
}
