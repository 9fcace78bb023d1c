package plumb

import (
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Qualify tells the PF what a QoSClass asks for of a VF, and nothing else: a pod may send over the VF meanwhile. What the class asks
// for no more is as the Network's settings say, or else as it was before the attachment. It comes after Configure, since both rates
// are one request to the PF, and so is a VLAN with its priority.
//
// It returns what the PF says afterwards. What cannot be had of a class is no error.
func (h VFs) Qualify(vf VF, before plan.VFState, settings plan.VFSettings, class *plan.VFQoS) (plan.VFOutcome, error) {
	info, pf, err := h.info(vf)
	if err != nil {
		return plan.VFOutcome{}, err
	}
	now := told(info)
	want := now
	want.MaxTxRate, want.MinTxRate, want.VLANQoS = before.MaxTxRate, before.MinTxRate, before.VLANQoS
	for _, s := range []plan.VFSettings{settings, class.Settings()} {
		want = wanted(want, plan.VFSettings{MaxTxRate: s.MaxTxRate, MinTxRate: s.MinTxRate, VLANQoS: s.VLANQoS})
	}
	outcome := plan.VFOutcome{}
	if err := h.applyEach(vf, pf, now, want, func(attribute string, err error) { outcome.Refuse(plan.VFKnob[attribute], err) }); err != nil {
		return plan.VFOutcome{}, err
	}
	if info, _, err = h.info(vf); err != nil {
		return plan.VFOutcome{}, err
	}
	is := told(info)
	for _, a := range vfAttributes(is, want) {
		if a.differs {
			outcome.Refuse(plan.VFKnob[a.name], refused(vf, a.name, a.wanted, true, ErrNotKept))
		}
	}
	outcome.MaxTxRate, outcome.MinTxRate = is.MaxTxRate, is.MinTxRate
	if is.VLAN != 0 {
		outcome.VLANQoS = &is.VLANQoS
	}
	return outcome, nil
}
