package decide

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// ClassUse is an attachment of a QoSClass.
type ClassUse struct {
	Attachment *v1alpha1.PodNetworkAttachment
	// Booked is what the scheduler has set aside for it, nil where that is not known.
	Booked *Rates
}

// running is the class as the attachment may have it: what the scheduler has not set aside cannot be guaranteed to a pod
// that runs, since others may have it. restart tells that a new pod would be guaranteed more.
func (u ClassUse) running(class *v1alpha1.QoSClass) (qos *v1alpha1.ResolvedQoS, restart bool) {
	qos = resolveQoS(class)
	limit := guaranteedBy(&u.Attachment.Spec.QoS.QoSClassSpec)
	if u.Booked != nil {
		limit = *u.Booked
	}
	egress, short1 := limited(qos.Egress, limit.Egress)
	ingress, short2 := limited(qos.Ingress, limit.Ingress)
	qos.Egress, qos.Ingress = egress, ingress
	return qos, short1 || short2
}

func limited(direction *v1alpha1.Bandwidth, booked int64) (_ *v1alpha1.Bandwidth, short bool) {
	if direction == nil || direction.Guaranteed == nil || direction.Guaranteed.Value() <= booked {
		return direction, false
	}
	direction.Guaranteed = resource.NewQuantity(booked, resource.DecimalSI)
	if booked == 0 {
		direction.Guaranteed = nil
		if direction.Maximum == nil { // A burst of nothing is refused.
			return nil, true
		}
	}
	return direction, true
}

// RollOut returns what the attachment is to have instead of what it has, nil where it has that already or is on its way out.
func RollOut(class *v1alpha1.QoSClass, use ClassUse) *v1alpha1.ResolvedQoS {
	wanted, _ := use.running(class)
	if !use.Attachment.DeletionTimestamp.IsZero() || equality.Semantic.DeepEqual(use.Attachment.Spec.QoS, wanted) {
		return nil
	}
	return wanted
}

// QoSClassFacts is everything that a QoSClass's status is made of.
type QoSClassFacts struct {
	Class *v1alpha1.QoSClass
	Uses  []ClassUse
	// Networks name the class as their default.
	Networks []string
	Now      metav1.Time
}

// Unused tells whether nothing would miss the class.
func (f QoSClassFacts) Unused() bool { return len(f.Uses) == 0 && len(f.Networks) == 0 }

// QoSClassStatus is the status to write. Transition times move only where a condition's status changes.
func QoSClassStatus(f QoSClassFacts) v1alpha1.QoSClassStatus {
	status := v1alpha1.QoSClassStatus{ObservedGeneration: f.Class.Generation, Conditions: slices.Clone(f.Class.Status.Conditions)}
	behind := 0
	for _, use := range f.Uses {
		wanted, restart := use.running(f.Class)
		has := equality.Semantic.DeepEqual(use.Attachment.Spec.QoS, wanted)
		status.Attachments++
		switch {
		case restart && has:
			status.Restart++
		case has:
			status.Current++
		default:
			behind++
		}
		if enforced(use.Attachment) {
			status.Enforced++
		}
	}
	f.set(&status, f.rolledOut(&status, behind))
	if f.Class.DeletionTimestamp.IsZero() {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.QoSClassConditionInUse)
	} else {
		f.set(&status, condition(v1alpha1.QoSClassConditionInUse, !f.Unused(), v1alpha1.ReasonInUse, f.inUse()))
	}
	return status
}

// enforced counts only what the agent said of the attachment as it is.
func enforced(pna *v1alpha1.PodNetworkAttachment) bool {
	c := meta.FindStatusCondition(pna.Status.Conditions, v1alpha1.AttachmentConditionQoSEnforced)
	return c != nil && c.Status == metav1.ConditionTrue && (c.ObservedGeneration == 0 || c.ObservedGeneration == pna.Generation)
}

func (f QoSClassFacts) set(status *v1alpha1.QoSClassStatus, c metav1.Condition) {
	c.ObservedGeneration, c.LastTransitionTime = f.Class.Generation, f.Now
	meta.SetStatusCondition(&status.Conditions, c)
}

func (f QoSClassFacts) rolledOut(status *v1alpha1.QoSClassStatus, behind int) metav1.Condition {
	const kind = v1alpha1.QoSClassConditionRolledOut
	switch {
	case behind > 0:
		return condition(kind, false, v1alpha1.ReasonRollingOut, fmt.Sprintf("%d of %d attachments do not have the class's values yet.", behind, status.Attachments))
	case status.Restart > 0:
		return condition(kind, false, v1alpha1.ReasonRestartPods, fmt.Sprintf(
			"%d of %d attachments keep a lower guarantee, since the scheduler has set aside no more for their pods: start these pods again. Everything else of the class they have.",
			status.Restart, status.Attachments))
	}
	return condition(kind, true, v1alpha1.ReasonRolledOut, fmt.Sprintf("All %d attachments have the class's values.", status.Attachments))
}

func (f QoSClassFacts) inUse() string {
	waits := fmt.Sprintf("The class is being deleted and takes no new pods. It waits for %d attachments", len(f.Uses))
	if len(f.Networks) > 0 {
		waits += " and for these Networks to name another one in spec.qosClassName: " + some(f.Networks)
	}
	return waits + "."
}
