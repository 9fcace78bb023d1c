//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// createFrom creates the objects of a file, those that have no namespace in that of the test, and removes them with it. Pods
// are as edit leaves them.
func (s *scene) createFrom(edit func(*corev1.Pod), path ...string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{tool.Repository}, path...)...))
	s.must(err)
	decoder := serializer.NewCodecFactory(s.Scheme()).UniversalDeserializer()
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		decoded, _, err := decoder.Decode([]byte(document), nil, nil)
		s.must(err)
		if network, ok := decoded.(*v1alpha1.Network); ok {
			s.network(network.Name, network.Spec)
			continue
		}
		object := decoded.(client.Object)
		if object.GetNamespace() == "" {
			object.SetNamespace(s.namespace)
		}
		if pod, ok := object.(*corev1.Pod); ok {
			edit(pod)
		}
		s.must(s.Create(s.ctx, object))
		s.t.Cleanup(func() {
			if err := s.Delete(s.ctx, object); client.IgnoreNotFound(err) != nil {
				s.t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
			}
		})
	}
}

// again creates a pod like one that there was.
func (s *scene) again(like *corev1.Pod, name string) {
	s.t.Helper()
	pod := like.DeepCopy()
	pod.Name = name
	s.must(s.Create(s.ctx, pod))
}

// unschedulable waits until the scheduler has found no node for the pod.
func (s *scene) unschedulable(name string) {
	s.t.Helper()
	s.waitCondition(name, corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)
	s.notReady(name)
}

// TestClaimOfOneRack: pods go to different nodes of the rack that their claims ask for, and nowhere else when it is full.
func TestClaimOfOneRack(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.createFrom(nil, "demo", "claims", "one-rack.yaml")
	s.waitReady(time.Minute, "pair-0", "pair-1")
	nodes := map[string]bool{}
	for _, name := range []string{"pair-0", "pair-1"} {
		a := s.attachments(name)["net1"]
		nodes[a.Spec.NodeName] = true
		if a.Spec.RackLocal == nil || a.Spec.RackLocal.Rack != "b" || a.Spec.PodClaimName != "mine" || a.Spec.Request != "nic" {
			t.Errorf("attachment of pod %s: %+v", name, a.Spec)
		}
	}
	if !nodes[nodeC] || !nodes[nodeD] {
		t.Errorf("the pair is on %v, want the nodes of rack b", nodes)
	}
	s.reaches("pair-0", "pair-1")

	var set appsv1.StatefulSet
	s.must(s.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "pair"}, &set))
	s.must(s.patchSet(&set, func(spec *appsv1.StatefulSetSpec) { spec.Replicas = ptr.To[int32](3) }))
	s.until(time.Minute, "the third pod to be created", func(ctx context.Context) error {
		_, err := s.get(ctx, "pair-2")
		return err
	})
	s.unschedulable("pair-2")
}
