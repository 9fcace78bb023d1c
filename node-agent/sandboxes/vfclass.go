package sandboxes

import (
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// qualifyVFs tells cards of the classes that have changed since pods got their VFs, each in the background: who works on a VF may
// keep it for seconds. A plan does not say before the card was told that it was, so that the next agent goes on.
func (k *Keeper) qualifyVFs() {
	for _, pod := range k.state.pods() {
		for _, a := range pod.Attachments {
			if untold(a) && k.state.holding(pod.UID) {
				go k.qualifyVF(planned{pod.UID, a.Name}, a)
			}
		}
	}
}

// untold tells whether a card is still to be told of a class.
func untold(a plan.Attachment) bool {
	return a.VF != nil && a.VF.QoS != nil && a.VF.QoS.Told == nil && a.Before != nil
}

func (k *Keeper) qualifyVF(me planned, a plan.Attachment) {
	log := k.Log.WithValues("podUID", me.PodUID, "network", a.Network, "interface", a.Interface)
	unlock, err := k.lentLocks.lock(k.base, a)
	if err != nil {
		return // The process ends.
	}
	defer unlock()
	// Meanwhile another may have done it, or the VF may be on its way back.
	a, known := k.state.attachment(me)
	if !known || !untold(a) || !k.state.holding(me.PodUID) {
		return
	}
	outcome, err := k.Path.QualifyVF(a)
	if err != nil {
		log.Error(err, "the class of a VF stays as it was for now")
		return
	}
	if _, err := k.update(me.PodUID, me.Name, func(now *plan.Attachment) bool {
		if !now.QoS.Equal(a.QoS) {
			return false // It has changed again, and its turn comes.
		}
		now.VF = now.VF.WithOutcome(&outcome)
		return true
	}); err != nil {
		log.Error(err, "write the plan")
		return
	}
	k.publishQoS()
}
