package plan

import (
	"fmt"
	"math"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const (
	maxDSCP     = 63
	maxPriority = 7
)

// QoS is the quality of service that an attachment asks for.
type QoS struct {
	// Class is the QoSClass that the values are from.
	Class   string    `json:"class"`
	Egress  Bandwidth `json:"egress,omitzero"`
	Ingress Bandwidth `json:"ingress,omitzero"`
	// Priority is 802.1p, 0 (lowest) to 7; nil for none.
	Priority *int `json:"priority,omitempty"`
	// DSCP is 0 to 63; nil leaves what the pod writes.
	DSCP *int `json:"dscp,omitempty"`
}

// Bandwidth of one direction. What is 0 is not asked for.
type Bandwidth struct {
	// Guaranteed and Maximum in bit/s.
	Guaranteed uint64 `json:"guaranteed,omitempty"`
	Maximum    uint64 `json:"maximum,omitempty"`
	// Burst in bytes.
	Burst uint64 `json:"burst,omitempty"`
}

// Equal tells whether two attachments ask for the same.
func (q *QoS) Equal(other *QoS) bool { return reflect.DeepEqual(q, other) }

// Names of what a class can ask for, as in the QoSClass.
const (
	KnobEgressGuaranteed  = "egress.guaranteed"
	KnobEgressMaximum     = "egress.maximum"
	KnobEgressBurst       = "egress.burst"
	KnobIngressGuaranteed = "ingress.guaranteed"
	KnobIngressMaximum    = "ingress.maximum"
	KnobIngressBurst      = "ingress.burst"
	KnobPriority          = "priority"
	KnobDSCP              = "dscp"
)

// knobs are the values of what a class can ask for, in the order of its fields; 0 stands for what it does not ask for.
func (q QoS) knobs() []knob {
	number := func(n *int) uint64 {
		if n == nil {
			return 0
		}
		return uint64(*n) + 1 //nolint:gosec // Between 0 and 63.
	}
	return []knob{
		{KnobEgressGuaranteed, q.Egress.Guaranteed}, {KnobEgressMaximum, q.Egress.Maximum}, {KnobEgressBurst, q.Egress.Burst},
		{KnobIngressGuaranteed, q.Ingress.Guaranteed}, {KnobIngressMaximum, q.Ingress.Maximum}, {KnobIngressBurst, q.Ingress.Burst},
		{KnobPriority, number(q.Priority)}, {KnobDSCP, number(q.DSCP)},
	}
}

type knob struct {
	name  string
	value uint64
}

// Knobs are the names of what the class asks for, in the order of its fields.
func (q QoS) Knobs() (names []string) {
	for _, k := range q.knobs() {
		if k.value > 0 {
			names = append(names, k.name)
		}
	}
	return names
}

// QoSReport is what is in force for one attachment, as read back from the kernel or the card, and what is not.
type QoSReport struct {
	Egress, Ingress Bandwidth
	Priority, DSCP  *int
	// Missing are the knobs of the class that are not in force; none where all are.
	Missing []MissingKnob
}

// MissingKnob is one knob that is not in force.
type MissingKnob struct {
	Knob string
	// Reason is one of the reasons of AttachmentConditionQoSEnforced.
	Reason string
	// Problem is a clause that tells why, and what helps.
	Problem string
}

// Miss adds a knob that is not in force, unless it was added before.
func (r *QoSReport) Miss(knob, reason, problem string) {
	for _, missing := range r.Missing {
		if missing.Knob == knob {
			return
		}
	}
	r.Missing = append(r.Missing, MissingKnob{Knob: knob, Reason: reason, Problem: problem})
}

// NotEnforced reports a class of which nothing is in force.
func (q QoS) NotEnforced(reason, problem string) (r QoSReport) {
	for _, knob := range q.Knobs() {
		r.Miss(knob, reason, problem)
	}
	return r
}

// qos reads the class of an attachment.
func (b *builder) qos(spec *v1alpha1.ResolvedQoS) *QoS {
	if spec == nil {
		return nil
	}
	return &QoS{
		Class:    spec.ClassName,
		Egress:   b.bandwidth("spec.qos.egress", spec.Egress),
		Ingress:  b.bandwidth("spec.qos.ingress", spec.Ingress),
		Priority: b.small("spec.qos.priority", spec.Priority, maxPriority),
		DSCP:     b.small("spec.qos.dscp", spec.DSCP, maxDSCP),
	}
}

func (b *builder) small(field string, value *int32, limit int) *int {
	if value == nil {
		return nil
	}
	number := int(*value)
	b.check(number >= 0 && number <= limit, field, fmt.Sprint(number), fmt.Sprintf("is not between 0 and %d", limit))
	return &number
}

func (b *builder) bandwidth(field string, spec *v1alpha1.Bandwidth) (w Bandwidth) {
	if spec == nil {
		return w
	}
	w.Guaranteed = b.quantity(field+".guaranteed", spec.Guaranteed)
	w.Maximum = b.quantity(field+".maximum", spec.Maximum)
	w.Burst = b.quantity(field+".burst", spec.Burst)
	b.check(w.Maximum == 0 || w.Guaranteed <= w.Maximum, field+".guaranteed", fmt.Sprint(w.Guaranteed), "exceeds the maximum")
	return w
}

func (b *builder) quantity(field string, quantity *resource.Quantity) uint64 {
	if quantity == nil {
		return 0
	}
	value := quantity.Value()
	b.check(value > 0 && value < math.MaxInt64, field, quantity.String(), "is not a positive number")
	return uint64(max(value, 0))
}

// Sizes of what a pod's stack hands over at once.
const (
	gsoSmallest = 4 << 10
	gsoLargest  = 64 << 10
)

// GSOMaxSize is how much of a TCP stream the stack of a pod may hand over at once, 0 for the kernel's own choice. With
// 64 KiB a class of 10 Mbit/s could send nothing else for 50 ms, and its queue would have to be longer still.
func (b Bandwidth) GSOMaxSize() int {
	if b.Maximum == 0 {
		return 0
	}
	in10ms := b.Maximum / 8 / 100
	size := uint64(gsoSmallest)
	for size < in10ms {
		size *= 2
		if size >= gsoLargest {
			return 0
		}
	}
	return int(size) //nolint:gosec // It is below 64 KiB.
}

// QoSFrom returns what an attachment asks for now, nil for nothing. The error is an *Error.
func QoSFrom(pna *v1alpha1.PodNetworkAttachment) (*QoS, error) {
	b := builder{pna: pna.Namespace + "/" + pna.Name}
	qos := b.qos(pna.Spec.QoS)
	if b.err != nil {
		return nil, b.err
	}
	return qos, nil
}
