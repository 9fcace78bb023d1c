package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// fieldManager owns the condition multinet.dev/planned and the annotation multinet.dev/planned-at, nothing else.
const fieldManager = "multinet-operator"

// maxNote is the limit of events.k8s.io.
const maxNote = 1024

// report tells the pod's owner once, by event and condition, and again only when the refusal changes. How much is free changes
// all the time, and makes no event of its own.
func (r *PodReconciler) report(ctx context.Context, pod *corev1.Pod, refusal *decide.Refusal) error {
	old := plannedCondition(pod)
	if old != nil && old.Status == corev1.ConditionFalse && old.Reason == refusal.Reason && old.Message == refusal.Message {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("pod refused", "reason", refusal.Reason, "message", refusal.Message)
	howMuch := refusal.Reason == v1alpha1.ReasonInsufficientBandwidth || refusal.Reason == v1alpha1.ReasonClassUnavailable
	if old == nil || old.Status == corev1.ConditionTrue || old.Reason != refusal.Reason || !howMuch {
		r.Events.Eventf(pod, nil, corev1.EventTypeWarning, refusal.Reason, "Plan", "%s", note(refusal.Message))
	}
	condition := podCondition(old, corev1.ConditionFalse, refusal.Reason, refusal.Message)
	return r.applyStatus(ctx, pod, condition, nil)
}

// clear says that earlier trouble is over; a pod that never had any is not written to. The annotation makes
// the kubelet look at a bound pod at once: it would try Prepare again only after a minute or more.
func (r *PodReconciler) clear(ctx context.Context, pod *corev1.Pod) error {
	old := plannedCondition(pod)
	if old == nil || old.Status == corev1.ConditionTrue {
		return nil
	}
	var annotations map[string]string
	message := "The networks exist and admit the pod."
	if pod.Spec.NodeName != "" {
		message = "Every network has an attachment with addresses."
		annotations = map[string]string{v1alpha1.AnnotationPlannedAt: time.Now().UTC().Format(time.RFC3339Nano)}
	}
	return r.applyStatus(ctx, pod, podCondition(old, corev1.ConditionTrue, v1alpha1.ReasonPlanned, message), annotations)
}

// applyStatus is a server-side apply with the UID as precondition, so that it cannot reach a successor of the
// same name, and cannot touch what others own.
func (r *PodReconciler) applyStatus(ctx context.Context, pod *corev1.Pod, condition *corev1ac.PodConditionApplyConfiguration, annotations map[string]string) error {
	apply := corev1ac.Pod(pod.Name, pod.Namespace).
		WithUID(pod.UID).
		WithAnnotations(annotations).
		WithStatus(corev1ac.PodStatus().WithConditions(condition))
	err := r.Status().Apply(ctx, apply, client.FieldOwner(fieldManager), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("pod %s: condition %s: %w", client.ObjectKeyFromObject(pod), v1alpha1.PodConditionPlanned, err)
	}
	return nil
}

func plannedCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == v1alpha1.PodConditionPlanned {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

func podCondition(old *corev1.PodCondition, status corev1.ConditionStatus, reason, message string) *corev1ac.PodConditionApplyConfiguration {
	since := metav1.Now()
	if old != nil && old.Status == status {
		since = old.LastTransitionTime
	}
	return corev1ac.PodCondition().WithType(v1alpha1.PodConditionPlanned).WithStatus(status).
		WithReason(reason).WithMessage(message).WithLastTransitionTime(since)
}

func note(message string) string {
	if len(message) <= maxNote {
		return message
	}
	return message[:maxNote-3] + "..."
}
