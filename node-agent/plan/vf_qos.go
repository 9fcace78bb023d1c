package plan

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// VFQoS is what a QoSClass comes to on a VF. What the Network itself says of rates and priority counts before it. Unlike that,
// what cannot be had of a class does not keep the pod from starting: the condition QoSEnforced names it.
type VFQoS struct {
	// MaxTxRate and MinTxRate in Mbit/s, VLANQoS is 802.1p; nil for what the class does not ask for or a VF cannot have.
	MaxTxRate *int `json:"maxTxRate,omitempty"`
	MinTxRate *int `json:"minTxRate,omitempty"`
	VLANQoS   *int `json:"vlanQoS,omitempty"`
	// Unmet has, by the class's knobs such as "egress.burst", why they are not in force: Refused is the driver's part, and known
	// when the VF was configured.
	Unmet   map[string]string `json:"unmet,omitempty"`
	Refused map[string]string `json:"refused,omitempty"`
}

// VFKnob is the knob of a QoSClass behind an attribute of a VF.
var VFKnob = map[string]string{"maxTxRate": KnobEgressMaximum, "minTxRate": KnobEgressGuaranteed, "vlanQoS": KnobPriority}

// Settings are those of the class alone.
func (q *VFQoS) Settings() VFSettings {
	if q == nil {
		return VFSettings{}
	}
	return VFSettings{MaxTxRate: q.MaxTxRate, MinTxRate: q.MinTxRate, VLANQoS: q.VLANQoS}
}

// Report tells what a VF has of the class that it was planned with, and of asked, which is what the order says by now.
func (q *VFQoS) Report(planned, asked QoS) (r QoSReport) {
	for _, knob := range asked.Knobs() {
		if problem := cmp.Or(q.Unmet[knob], q.Refused[knob]); problem != "" {
			r.Miss(knob, v1alpha1.ReasonQoSNotSupported, problem)
		} else if planned.knob(knob) != asked.knob(knob) {
			r.Miss(knob, v1alpha1.ReasonQoSNotSupported, "the class has changed since the pod got its VF; create the pod anew")
		}
	}
	for _, knob := range planned.Knobs() {
		if q.Unmet[knob] == "" && q.Refused[knob] == "" {
			r.has(knob, planned)
		}
	}
	return r
}

// has takes over a knob of a class that is in force on a VF.
func (r *QoSReport) has(knob string, q QoS) {
	switch knob {
	case KnobEgressGuaranteed:
		r.Egress.Guaranteed = q.Egress.Guaranteed
	case KnobEgressMaximum:
		r.Egress.Maximum = q.Egress.Maximum
	case KnobPriority:
		r.Priority = q.Priority
	}
}

// vfQoS is nil where there is no class; own is what the Network says.
func vfQoS(class *v1alpha1.ResolvedQoS, own VFSettings) *VFQoS {
	if class == nil {
		return nil
	}
	q := &VFQoS{Unmet: map[string]string{}}
	if e := class.Egress; e != nil {
		q.MaxTxRate = q.rate(KnobEgressMaximum, e.Maximum, "maxTxRate", own.MaxTxRate)
		q.MinTxRate = q.rate(KnobEgressGuaranteed, e.Guaranteed, "minTxRate", own.MinTxRate)
		q.cannot(e.Burst != nil, KnobEgressBurst, "a VF has no such limit")
	}
	if i := class.Ingress; i != nil {
		const problem = "a network card does not limit what a VF receives"
		q.cannot(i.Guaranteed != nil, KnobIngressGuaranteed, problem)
		q.cannot(i.Maximum != nil, KnobIngressMaximum, problem)
		q.cannot(i.Burst != nil, KnobIngressBurst, problem)
	}
	q.cannot(class.DSCP != nil, KnobDSCP, "what a VF sends does not pass the node")
	if class.Priority != nil {
		q.VLANQoS = q.priority(int(*class.Priority), own)
	}
	return q
}

func (q *VFQoS) cannot(asked bool, knob, problem string) {
	if asked {
		q.Unmet[knob] = problem
	}
}

// rate is nil where the Network has the rate already. One that is not met exactly is not met.
func (q *VFQoS) rate(knob string, quantity *resource.Quantity, field string, own *int) *int {
	if quantity == nil {
		return nil
	}
	bits := quantity.Value()
	rate := int(bits / megabit)
	switch {
	case own != nil && int64(*own)*megabit == bits:
	case own != nil:
		q.Unmet[knob] = fmt.Sprintf("the Network's %s of %d Mbit/s counts", field, *own)
	case bits <= 0 || bits%megabit != 0 || bits/megabit > maxTxRate:
		q.Unmet[knob] = quantity.String() + " is not a whole number of Mbit/s, which is what network cards know"
	default:
		return &rate
	}
	return nil
}

func (q *VFQoS) priority(priority int, own VFSettings) *int {
	switch {
	case own.VLAN == nil:
		q.Unmet[KnobPriority] = "the Network sets no VLAN, in whose tag the priority would stand"
	case own.VLANQoS == nil:
		return &priority
	case *own.VLANQoS != priority:
		q.Unmet[KnobPriority] = fmt.Sprintf("the Network's vlanQoS %d counts", *own.VLANQoS)
	}
	return nil
}
