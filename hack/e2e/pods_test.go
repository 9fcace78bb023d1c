//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// pod is a box that selects networks. node may be empty: then the scheduler chooses, and else it still has its say.
func (s *scene) pod(name, node, selection string) *corev1.Pod {
	return box(s.namespace, name, node, selection)
}

// box is such a pod in any namespace.
func box(namespace, name, node, selection string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "e2e"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To[int64](1),
			Containers: []corev1.Container{{
				Name: "box", Image: "multinet.dev/testbox:dev", ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"sleep", "infinity"},
			}},
		},
	}
	if selection != "" {
		pod.Annotations = map[string]string{v1alpha1.AnnotationNetworks: selection}
	}
	if node != "" {
		pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	}
	return pod
}

// create creates a pod as given by pod.
func (s *scene) create(name, node, selection string) *corev1.Pod {
	s.t.Helper()
	pod := s.pod(name, node, selection)
	s.must(s.Create(s.ctx, pod))
	return pod
}

// createMany creates n pods whose names start with prefix, and returns their names.
func (s *scene) createMany(n int, prefix, node, selection string) []string {
	s.t.Helper()
	var names []string
	for i := range n {
		names = append(names, s.create(fmt.Sprintf("%s-%d", prefix, i), node, selection).Name)
	}
	return names
}

func (s *scene) get(ctx context.Context, name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &pod)
	return &pod, err
}

// waitReady waits until all the pods are Ready, and then looks into the kernel whether they have their networks.
func (s *scene) waitReady(limit time.Duration, names ...string) {
	s.t.Helper()
	s.until(limit, "pods "+strings.Join(names, ", ")+" to be Ready", func(ctx context.Context) error {
		var trouble []error
		for _, name := range names {
			pod, err := s.get(ctx, name)
			if err == nil {
				err = cluster.PodReady(pod)
			}
			trouble = append(trouble, err)
		}
		return errors.Join(trouble...)
	})
	s.assertAttached(names...)
}

// waitGone waits until no pod of the names is there.
func (s *scene) waitGone(limit time.Duration, names ...string) {
	s.t.Helper()
	s.until(limit, "pods "+strings.Join(names, ", ")+" to be gone", func(ctx context.Context) error {
		for _, name := range names {
			if pod, err := s.get(ctx, name); client.IgnoreNotFound(err) != nil || err == nil {
				return fmt.Errorf("pod %s is still there, deleted at %v (%v)", name, pod.DeletionTimestamp, err)
			}
		}
		return nil
	})
}

// remove asks for the deletion of pods, with their own grace period or with none at all.
func (s *scene) remove(force bool, names ...string) {
	s.t.Helper()
	var options []client.DeleteOption
	if force {
		options = append(options, client.GracePeriodSeconds(0))
	}
	for _, name := range names {
		s.must(s.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}, options...))
	}
}

// waitCondition waits until the pod's condition has the status and reason, and returns its message.
func (s *scene) waitCondition(name string, kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) string {
	s.t.Helper()
	var message string
	s.until(time.Minute, fmt.Sprintf("pod %s to have condition %s=%s %s", name, kind, status, reason), func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == kind && c.Status == status && c.Reason == reason {
				message = c.Message
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", pod.Status.Conditions)
	})
	return message
}

// waitEvent waits for an event of the reason on the pod, and returns its text.
func (s *scene) waitEvent(name, reason string) string {
	s.t.Helper()
	return s.waitEventWith(name, reason, "")
}

// waitEventWith waits for an event whose text has a certain part.
func (s *scene) waitEventWith(name, reason, part string) string {
	s.t.Helper()
	var text string
	s.until(3*time.Minute, fmt.Sprintf("event %s %s on pod %s", reason, part, name), func(ctx context.Context) error {
		var events corev1.EventList
		if err := s.List(ctx, &events, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.InvolvedObject.Kind == "Pod" && e.InvolvedObject.Name == name && e.Reason == reason && strings.Contains(e.Message, part) {
				text = e.Message
				return nil
			}
		}
		return fmt.Errorf("there are %d others", len(events.Items))
	})
	return text
}

// attachments are those of one pod, by interface.
func (s *scene) attachments(name string) map[string]v1alpha1.PodNetworkAttachment {
	s.t.Helper()
	var list v1alpha1.PodNetworkAttachmentList
	s.must(s.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingFields{"spec.pod.name": name}))
	byInterface := map[string]v1alpha1.PodNetworkAttachment{}
	for _, a := range list.Items {
		byInterface[string(a.Spec.Interface)] = a
	}
	return byInterface
}

// notReady fails the test if the pod is Ready, or has a container that runs.
func (s *scene) notReady(name string) {
	s.t.Helper()
	pod, err := s.get(s.ctx, name)
	s.must(err)
	if cluster.PodReady(pod) == nil {
		s.t.Errorf("pod %s is Ready without its networks", name)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			s.t.Errorf("container %s of pod %s runs without its networks", c.Name, name)
		}
	}
}
