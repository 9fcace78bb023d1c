package cluster

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespace is that of the operator and the agents.
const Namespace = "multinet-system"

// pollIntervals are a tenth of what was waited so far: whoever asks more often only delays what takes its time.
func pollIntervals() wait.DelayFunc {
	return wait.Backoff{Duration: 150 * time.Millisecond, Factor: 1.1, Steps: 1000, Cap: time.Second}.DelayFunc()
}

// Until polls until condition returns nil. When limit is over the error is the condition's last one.
func Until(ctx context.Context, limit time.Duration, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	err := pollIntervals().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		if err := condition(ctx); err != nil {
			// An end of the context says less than what was wrong before it.
			if last == nil || ctx.Err() == nil {
				last = err
			}
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waited %s for %s: %w", limit, what, last)
	}
	return nil
}

// WaitRollout waits until the operator and an agent on every node run the newest version.
func (c *Cluster) WaitRollout(ctx context.Context, limit time.Duration) error {
	return Until(ctx, limit, "operator and agents to be available", func(ctx context.Context) error {
		var operator appsv1.Deployment
		if err := c.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "multinet-operator"}, &operator); err != nil {
			return err
		}
		var agents appsv1.DaemonSet
		if err := c.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "multinet-agent"}, &agents); err != nil {
			return err
		}
		return rolledOut(&operator, &agents)
	})
}

func rolledOut(operator *appsv1.Deployment, agents *appsv1.DaemonSet) error {
	o, wanted := operator.Status, int32(1)
	if operator.Spec.Replicas != nil {
		wanted = *operator.Spec.Replicas
	}
	if o.ObservedGeneration < operator.Generation || o.UpdatedReplicas < wanted || o.AvailableReplicas < wanted {
		return fmt.Errorf("Deployment %s: %d of %d replicas are available", operator.Name, o.AvailableReplicas, wanted)
	}
	a := agents.Status
	if a.ObservedGeneration < agents.Generation || a.DesiredNumberScheduled == 0 ||
		a.UpdatedNumberScheduled < a.DesiredNumberScheduled || a.NumberAvailable < a.DesiredNumberScheduled {
		return fmt.Errorf("DaemonSet %s: %d of %d agents are available", agents.Name, a.NumberAvailable, a.DesiredNumberScheduled)
	}
	return nil
}

// PodReady returns nil if the pod is Ready, else an error that says what holds it.
func PodReady(pod *corev1.Pod) error {
	trouble := "not scheduled yet"
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
		if condition.Status == corev1.ConditionFalse && condition.Message != "" {
			trouble = fmt.Sprintf("%s: %s", condition.Type, condition.Message)
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		if w := container.State.Waiting; w != nil && w.Message != "" {
			trouble = fmt.Sprintf("container %s: %s: %s", container.Name, w.Reason, w.Message)
		}
	}
	return fmt.Errorf("pod %s/%s is not Ready (%s)", pod.Namespace, pod.Name, trouble)
}
