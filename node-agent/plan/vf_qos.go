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
	// Unmet has, by the class's knobs such as "egress.burst", why no VF or not this Network's can have them.
	Unmet map[string]string `json:"unmet,omitempty"`
	// Told is what came of it, nil as long as the card has to be told.
	Told *VFOutcome `json:"told,omitempty"`
}

// VFOutcome is what a card has of a QoSClass.
type VFOutcome struct {
	// Refused has, by the class's knobs, why the driver does not have them.
	Refused map[string]string `json:"refused,omitempty"`
	// MaxTxRate and MinTxRate as read back in Mbit/s, 0 for none, VLANQoS nil where there is no VLAN.
	MaxTxRate int  `json:"maxTxRate,omitempty"`
	MinTxRate int  `json:"minTxRate,omitempty"`
	VLANQoS   *int `json:"vlanQoS,omitempty"`
}

// WithOutcome is a VF whose card was told of its class.
func (v *VF) WithOutcome(o *VFOutcome) *VF {
	vf, class := *v, *v.QoS
	class.Told, vf.QoS = o, &class
	return &vf
}

// Refuse adds a knob, unless it was added before.
func (o *VFOutcome) Refuse(knob string, err error) {
	if o.Refused[knob] != "" {
		return
	}
	if o.Refused == nil {
		o.Refused = map[string]string{}
	}
	o.Refused[knob] = err.Error()
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

// InForce are the settings that the card has of a VF: the Network's, and what it took of a class when it was told.
func (v *VF) InForce() VFSettings {
	s := v.Settings
	if v.QoS == nil || v.QoS.Told == nil {
		return s
	}
	told := *v.QoS.Told
	if v.QoS.MaxTxRate != nil {
		s.MaxTxRate = &told.MaxTxRate
	}
	if v.QoS.MinTxRate != nil {
		s.MinTxRate = &told.MinTxRate
	}
	if v.QoS.VLANQoS != nil {
		s.VLANQoS = told.VLANQoS
	}
	return s
}

// Report tells what a VF has of its class, and of rates and priority whatever it has.
func (q *VFQoS) Report(asked QoS) (r QoSReport) {
	told := cmp.Or(q.Told, &VFOutcome{})
	for _, knob := range asked.Knobs() {
		if problem := cmp.Or(q.Unmet[knob], told.Refused[knob]); problem != "" {
			r.Miss(knob, v1alpha1.ReasonQoSNotSupported, problem)
		} else if q.Told == nil {
			r.Miss(knob, v1alpha1.ReasonQoSFailed, "the network card has not been told of it yet")
		}
	}
	r.Egress = Bandwidth{Guaranteed: uint64(told.MinTxRate) * megabit, Maximum: uint64(told.MaxTxRate) * megabit} //nolint:gosec // The kernel's are 32 bits.
	if v := told.VLANQoS; v != nil && (*v != 0 || asked.Priority != nil) {
		r.Priority = v
	}
	return r
}

// VFQoSFrom is what a class comes to on a VF of which the Network says own, nil for no class.
func VFQoSFrom(class *v1alpha1.ResolvedQoS, own VFSettings) *VFQoS {
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
