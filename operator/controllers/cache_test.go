package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Of containers the cache keeps the devices that they request: whether a pod can have a device of a device plugin is seen by them. Of
// pods that select nothing it keeps nothing.
func TestCachedContainers(t *testing.T) {
	always, one := corev1.ContainerRestartPolicyAlways, resource.MustParse("1")
	nic := corev1.ResourceRequirements{Limits: corev1.ResourceList{"intel.com/nic": one}}
	all := corev1.ResourceRequirements{Limits: corev1.ResourceList{"intel.com/nic": one, corev1.ResourceCPU: one}}
	pod := func(selection string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationNetworks: selection}},
			Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "proxy", RestartPolicy: &always, Resources: all}},
				Containers:     []corev1.Container{{Name: "plain", Image: "a"}, {Name: "fast", Image: "b", Resources: all}},
			},
		}
	}
	selecting, other := pod("storage"), pod("")
	stripPod(selecting)
	stripPod(other)
	want := corev1.PodSpec{InitContainers: []corev1.Container{{RestartPolicy: &always, Resources: nic}}, Containers: []corev1.Container{{Resources: nic}}}
	if diff := cmp.Diff(want, selecting.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(corev1.PodSpec{}, other.Spec); diff != "" {
		t.Errorf("of a pod that selects nothing (-want +got):\n%s", diff)
	}
}
