package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestClaimExamples: the API server takes each object of demo/claims, and the pods have the readiness gate and no claims but
// their user's.
func TestClaimExamples(t *testing.T) {
	s := requireAPIServer(t)
	files, err := filepath.Glob(filepath.Join("..", "..", "demo", "claims", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no examples: ", err)
	}
	decoder := serializer.NewCodecFactory(newScheme()).UniversalDeserializer()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range strings.SplitSeq(string(text), "\n---\n") {
				decoded, _, err := decoder.Decode([]byte(document), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				object := decoded.(client.Object)
				if _, ok := object.(*v1alpha1.Network); !ok {
					object.SetNamespace(testNamespace)
				}
				if err := s.admin.Create(t.Context(), object, client.DryRunAll); err != nil {
					t.Fatal(err)
				}
				if pod, ok := object.(*corev1.Pod); ok && (len(pod.Spec.ReadinessGates) != 1 || len(pod.Spec.ResourceClaims) != 1) {
					t.Errorf("pod %s has gates %v and claims %v", pod.Name, pod.Spec.ReadinessGates, pod.Spec.ResourceClaims)
				}
			}
		})
	}
}
