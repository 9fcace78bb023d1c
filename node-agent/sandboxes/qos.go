package sandboxes

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// Shaper holds attachments to their classes, as qos.Manager does.
type Shaper interface {
	// Apply brings the node to what all planned attachments ask for, and removes what none does if complete tells that there are no
	// others. It tells whether pods that run may lack something now, which an Attach gives them.
	Apply(all []plan.Attachment, complete bool) (more bool)
	// Report tells what is in force.
	Report(plan.Attachment) plan.QoSReport
}

// StartQoS finds what a former process has put in force again. It comes before any door opens.
func (k *Keeper) StartQoS() { k.QoS.Apply(k.state.attachments(), false) }

// shape has the classes looked at soon.
func (k *Keeper) shape() {
	select {
	case k.shapeDue <- struct{}{}:
	default: // they will be anyway
	}
}

// runQoS brings the node to the classes after each shape until ctx ends, and tells of what is in force.
func (k *Keeper) runQoS(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.shapeDue:
		}
		k.applyQoS()
		k.publishQoS()
	}
}

func (k *Keeper) applyQoS() {
	// Known before the plans: one that is made in between is in the list all the same.
	_, complete := k.state.segments()
	if k.QoS.Apply(k.state.attachments(), complete) {
		k.state.markDue()
		k.Wake()
	}
}

// ensureQoS has the classes of the node in force before a pod starts on one of its links. Trouble is no reason to keep the pod
// from its network: it is reported.
func (k *Keeper) ensureQoS() {
	if slices.ContainsFunc(k.state.attachments(), func(a plan.Attachment) bool { return a.QoS != nil }) {
		k.applyQoS()
	}
}

// requalify takes over what has changed in the classes of planned attachments. Other changes of an order are impossible.
func (k *Keeper) requalify() {
	for _, pna := range k.Attachments.All() {
		if pna.DeletionTimestamp != nil {
			continue
		}
		if err := k.requalifyOne(pna); err != nil {
			k.Log.Error(err, "the class of an attachment stays as it was", "pod", pna.Namespace+"/"+pna.Spec.Pod.Name)
		}
	}
}

func (k *Keeper) requalifyOne(pna *v1alpha1.PodNetworkAttachment) error {
	uid := pna.Spec.Pod.UID
	if now, known := k.state.attachment(planned{uid, pna.Name}); !known || pna.Spec.QoS == nil && now.QoS == nil {
		return nil
	}
	want, err := plan.QoSFrom(pna)
	if err != nil {
		return err
	}
	changed, err := k.update(uid, pna.Name, func(a *plan.Attachment) bool { return takeOver(a, want, pna.Spec.QoS) })
	if err != nil {
		return fmt.Errorf("network %q interface %s: write the plan: %w", pna.Spec.NetworkName, pna.Spec.Interface, err)
	}
	if changed {
		k.shape()
	}
	return nil
}

// takeOver changes the class of an attachment. One on a VF that an agent has planned which did not tell cards of classes is behind too.
func takeOver(a *plan.Attachment, want *plan.QoS, spec *v1alpha1.ResolvedQoS) bool {
	if a.QoS.Equal(want) && (a.VF == nil || a.VF.QoS != nil) {
		return false
	}
	a.QoS = want
	if a.VF != nil {
		vf := *a.VF
		vf.QoS, a.VF = plan.VFQoSFrom(spec, vf.Settings), &vf
	}
	return true
}

// update changes one planned attachment, in the ledger before memory as store does.
func (k *Keeper) update(podUID types.UID, name string, change func(*plan.Attachment) bool) (changed bool, err error) {
	k.ledgerMu.Lock()
	defer k.ledgerMu.Unlock()
	pod, _ := k.state.plan(podUID)
	attachment, planned := attachmentOf(pod, name)
	if !planned || !change(&attachment) {
		return false, nil
	}
	pod = withAttachment(pod, attachment)
	if err := k.Ledger.Put(k.withOwed(pod)); err != nil {
		return false, err
	}
	k.state.setPlan(pod)
	return true, nil
}

// publishQoS tells of the classes of pods that run. What has not changed is not written again.
func (k *Keeper) publishQoS() {
	for _, e := range k.state.idle() {
		if _, p := k.state.entry(e.ID); p != attached {
			continue
		}
		made := k.state.made(e)
		if slices.ContainsFunc(made, func(i publish.Interface) bool { return i.Plan.QoS != nil }) {
			k.publish(e, made)
		}
	}
}

// withQoS adds what the pod's class is now, and what of it is in force.
func (k *Keeper) withQoS(podUID types.UID, i publish.Interface) publish.Interface {
	if now, known := k.state.attachment(planned{podUID, i.Plan.Name}); known {
		i.Plan.QoS, i.Plan.VF = now.QoS, now.VF
	}
	if i.Plan.QoS != nil {
		report := k.qosReport(i.Plan)
		i.QoS = &report
	}
	return i
}

func (k *Keeper) qosReport(a plan.Attachment) plan.QoSReport {
	if a.VF == nil {
		return k.QoS.Report(a)
	}
	return a.VF.QoS.Report(*a.QoS)
}

// attachments are all planned ones.
func (s *state) attachments() (all []plan.Attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pod := range s.plans {
		all = append(all, pod.Attachments...)
	}
	return all
}
