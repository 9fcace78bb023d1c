//go:build e2e

package e2e

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/check"
)

// TestDemo runs the example and the very check of `make demo`.
func TestDemo(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	// The example has a namespace of its own; that is what has to be empty at the end.
	example := check.StorageExample(s.Cluster, t.Output())
	t.Cleanup(func() {
		for _, object := range []client.Object{
			&corev1.Namespace{ObjectMeta: named(example.Namespace)}, &v1alpha1.Network{ObjectMeta: named("storage")},
			&v1alpha1.QoSClass{ObjectMeta: named("gold")}, &v1alpha1.QoSClass{ObjectMeta: named("bronze")},
		} {
			if err := s.Delete(s.ctx, object); err != nil {
				t.Errorf("removing the example: %v", err)
			}
		}
	})
	s.must(example.Apply(s.ctx, tool.Repository))
	s.must(example.Run(s.ctx))
	s.must(s.DeleteAllOf(s.ctx, &corev1.Pod{}, client.InNamespace(example.Namespace)))
	s.until(time.Minute, "nothing of the example to be left", s.emptyNamespace(example.Namespace))
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
