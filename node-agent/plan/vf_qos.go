package plan

import (
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

// Knobs of a QoSClass that a driver may refuse.
const (
	knobMaximum    = "egress.maximum"
	knobGuaranteed = "egress.guaranteed"
	knobPriority   = "priority"
)

// VFKnob is the knob of a QoSClass behind an attribute of a VF.
var VFKnob = map[string]string{"maxTxRate": knobMaximum, "minTxRate": knobGuaranteed, "vlanQoS": knobPriority}

// Settings are those of the class alone.
func (q *VFQoS) Settings() VFSettings {
	if q == nil {
		return VFSettings{}
	}
	return VFSettings{MaxTxRate: q.MaxTxRate, MinTxRate: q.MinTxRate, VLANQoS: q.VLANQoS}
}

// vfQoS is nil where there is no class; own is what the Network says.
func vfQoS(class *v1alpha1.ResolvedQoS, own VFSettings) *VFQoS {
	if class == nil {
		return nil
	}
	q := &VFQoS{Unmet: map[string]string{}}
	if e := class.Egress; e != nil {
		q.MaxTxRate = q.rate(knobMaximum, e.Maximum, "maxTxRate", own.MaxTxRate)
		q.MinTxRate = q.rate(knobGuaranteed, e.Guaranteed, "minTxRate", own.MinTxRate)
		q.cannot(e.Burst != nil, "egress.burst", "a VF has no such limit")
	}
	if i := class.Ingress; i != nil {
		const problem = "a network card does not limit what a VF receives"
		q.cannot(i.Guaranteed != nil, "ingress.guaranteed", problem)
		q.cannot(i.Maximum != nil, "ingress.maximum", problem)
		q.cannot(i.Burst != nil, "ingress.burst", problem)
	}
	q.cannot(class.DSCP != nil, "dscp", "what a VF sends does not pass the node")
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
		q.Unmet[knobPriority] = "the Network sets no VLAN, in whose tag the priority would stand"
	case own.VLANQoS == nil:
		return &priority
	case *own.VLANQoS != priority:
		q.Unmet[knobPriority] = fmt.Sprintf("the Network's vlanQoS %d counts", *own.VLANQoS)
	}
	return nil
}
