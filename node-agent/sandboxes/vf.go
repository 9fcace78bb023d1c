package sandboxes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

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

// ChangeVFs calls change, which may take all VFs of a PF away for a moment, with the PCI addresses of the VFs that pods have or
// that have not come back from them. No other VF is planned for a pod until it returns.
func (k *Keeper) ChangeVFs(change func(inUse []string) error) error {
	k.numVFs.Lock()
	defer k.numVFs.Unlock()
	return change(k.state.vfsInUse())
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
	unlock, err := k.lentLocks.lock(ctx, a)
	if err != nil {
		return err
	}
	defer unlock()
	if k.state.uses(me.PodUID, a.Interface) || !k.state.hasPlan(me.PodUID, me.Name) {
		return nil
	}
	return k.Path.ConfigureVF(ctx, a) // the attach sees to the class
}
