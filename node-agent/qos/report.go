package qos

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// enough is the part of a value that is the value: HTB counts in whole bytes, and a guarantee of 60 Mbit/s is kept at 57.
const enough = 0.95

// knobsOf are the names of the knobs of a direction.
func knobsOf(d direction) (guaranteed, maximum, burst string) {
	if d == egress {
		return plan.KnobEgressGuaranteed, plan.KnobEgressMaximum, plan.KnobEgressBurst
	}
	return plan.KnobIngressGuaranteed, plan.KnobIngressMaximum, plan.KnobIngressBurst
}

func wantedIn(q *plan.QoS, d direction) plan.Bandwidth {
	if d == egress {
		return q.Egress
	}
	return q.Ingress
}

// readBack tells what of an attachment's bandwidth is in force in a direction by the class that the kernel has for it.
func readBack(r *plan.QoSReport, d direction, want plan.Bandwidth, has *netlink.HtbClass, speed uint64, uplink string) plan.Bandwidth {
	guaranteed, maximum, burst := knobsOf(d)
	if has == nil {
		has = &netlink.HtbClass{}
	}
	var in plan.Bandwidth
	switch rate := has.Rate * 8; {
	case want.Guaranteed == 0:
	case speed == 0:
		r.Miss(guaranteed, v1alpha1.ReasonQoSNotSupported,
			fmt.Sprintf("nobody says how fast uplink %s is: give its bandwidth in the node agents' configuration", uplink))
	default:
		in.Guaranteed = rate
		if float64(rate) < enough*float64(want.Guaranteed) {
			r.Miss(guaranteed, v1alpha1.ReasonGuaranteesExceedUplink,
				fmt.Sprintf("the guarantees of uplink %s are more than its %d bit/s: this one is %d bit/s", uplink, speed, rate))
		}
	}
	if want.Maximum > 0 {
		in.Maximum = has.Ceil * 8
		if float64(in.Maximum) < enough*float64(want.Maximum) {
			r.Miss(maximum, v1alpha1.ReasonQoSFailed, fmt.Sprintf("the kernel has %d bit/s", in.Maximum))
		}
	}
	if want.Burst > 0 {
		in.Burst = uint64(netlink.Xmitsize(has.Ceil, has.Cbuffer))
		if float64(in.Burst) < enough*float64(want.Burst) {
			r.Miss(burst, v1alpha1.ReasonQoSNotSupported, fmt.Sprintf("the kernel holds %d bytes of it at most", in.Burst))
		}
	}
	return in
}

// reasonOf is the reason of a failure.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errForeignQdisc), errors.Is(err, errForeignFilters):
		return v1alpha1.ReasonForeignQdisc
	case errors.Is(err, errNoBPFFS), errors.Is(err, errNoSupport), errors.Is(err, ebpf.ErrNotSupported):
		return v1alpha1.ReasonQoSNotSupported
	}
	return v1alpha1.ReasonQoSFailed
}

// errForeignQdisc tells that somebody else shapes the link.
var errForeignQdisc = errors.New("somebody else's qdisc is on it and is left alone")

// missDirection adds all knobs of one direction.
func missDirection(r *plan.QoSReport, q *plan.QoS, d direction, err error) {
	guaranteed, maximum, burst := knobsOf(d)
	want := wantedIn(q, d)
	for knob, asked := range map[string]uint64{guaranteed: want.Guaranteed, maximum: want.Maximum, burst: want.Burst} {
		if asked > 0 {
			r.Miss(knob, reasonOf(err), err.Error())
		}
	}
}
