package v1alpha1_test

import (
	"context"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const atCreation = v1alpha1.AnnotationAtCreation

// createPod makes a pod in a phase, "" for a new one.
func (s *apiServer) createPod(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	pod.Name, pod.GenerateName = "", "hotplug-"
	if err := s.admin.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	if phase != "" {
		pod.Status.Phase = phase
		if err := s.admin.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	return pod
}

// networksOf are the annotations that this is about.
func networksOf(pod *corev1.Pod) map[string]string {
	kept := maps.Clone(pod.Annotations)
	maps.DeleteFunc(kept, func(k, _ string) bool {
		return k != v1alpha1.AnnotationNetworks && k != npwg.AnnotationNetworks && k != atCreation
	})
	return kept
}

func TestSelectionChanges(t *testing.T) {
	s := requireAPIServer(t)
	const ours = v1alpha1.AnnotationNetworks
	fixed := "annotation multinet.dev/networks can change while the pod runs, not before and not after"
	for name, c := range map[string]struct {
		before string
		phase  corev1.PodPhase
		edit   func(*corev1.Pod)
		// want are the annotations, or refused why not.
		want    map[string]string
		refused string
	}{
		"kept, new":     {before: "storage", edit: func(*corev1.Pod) {}, want: map[string]string{ours: "storage"}},
		"kept, running": {before: "storage", phase: corev1.PodRunning, edit: func(*corev1.Pod) {}, want: map[string]string{ours: "storage"}},
		"changed, new":  {before: "storage", edit: networks("rack"), refused: fixed},
		"changed, done": {before: "storage", phase: corev1.PodSucceeded, edit: networks("rack"), refused: fixed},
		"added, new":    {edit: networks("rack"), refused: fixed},
		"removed, new":  {before: "storage", edit: networks(""), refused: fixed},
		"added": {before: "storage", phase: corev1.PodRunning, edit: networks("storage, rack@data0:gold"),
			want: map[string]string{ours: "storage, rack@data0:gold", atCreation: "storage"}},
		"added to a pod that had none": {phase: corev1.PodRunning, edit: networks("rack"), want: map[string]string{ours: "rack", atCreation: ""}},
		"removed":                      {before: "storage", phase: corev1.PodRunning, edit: networks(""), want: map[string]string{atCreation: "storage"}},
		"malformed": {before: "storage", phase: corev1.PodRunning, edit: networks("storage, Rack"),
			refused: `annotation multinet.dev/networks: element 2 " Rack": "Rack" is not the name of a Network`},
		"a claim that the pod does not have": {before: "storage", phase: corev1.PodRunning, edit: networks("storage,claim=pair/vf"),
			refused: `"claim=pair/vf" selects from an entry of spec.resourceClaims that the pod does not have`},
		"the note by hand": {before: "storage", phase: corev1.PodRunning, edit: annotate(atCreation, ""),
			refused: "annotation multinet.dev/networks-at-creation is written once"},
		"another note": {before: "storage", phase: corev1.PodRunning, edit: func(p *corev1.Pod) { networks("rack")(p); annotate(atCreation, "x")(p) },
			refused: "annotation multinet.dev/networks-at-creation is written once"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := s.createPod(t, newPod(c.before), c.phase)
			c.edit(pod)
			pod.Labels = map[string]string{"other": "change"}
			err := s.admin.Update(t.Context(), pod)
			checkAnswer(t, err, c.refused)
			if diff := cmp.Diff(c.want, networksOf(pod)); err == nil && diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func networks(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if delete(p.Annotations, v1alpha1.AnnotationNetworks); value != "" {
			annotate(v1alpha1.AnnotationNetworks, value)(p)
		}
	}
}

func annotate(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[key] = value
	}
}

// TestSelectionChangesAgain: the note stays, whatever comes later, and a copy of the pod begins without it.
func TestSelectionChangesAgain(t *testing.T) {
	s := requireAPIServer(t)
	pod := s.createPod(t, newPod("storage"), corev1.PodRunning)
	for _, value := range []string{"storage,rack", "rack@net2", "", "storage"} {
		networks(value)(pod)
		if err := s.admin.Update(t.Context(), pod); err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if got := pod.Annotations[atCreation]; got != "storage" {
			t.Fatalf("after %q the note says %q", value, got)
		}
	}
	without := pod.DeepCopy()
	delete(without.Annotations, atCreation)
	checkAnswer(t, s.admin.Update(t.Context(), without), "is written once")
	other := pod.DeepCopy()
	other.Annotations[v1alpha1.AnnotationNetworks] = "rack"
	checkAnswer(t, s.admin.Status().Update(t.Context(), other), "can change while the pod runs")

	again := newPod("storage,rack")
	again.Annotations[atCreation] = "storage"
	s.createPod(t, again, "")
	if _, noted := again.Annotations[atCreation]; noted || len(again.Spec.ResourceClaims) != 2 {
		t.Errorf("a copy has the note (%t) and claims %v", noted, again.Spec.ResourceClaims)
	}
}

func TestUnsupportedPodsAreNotGivenInterfaces(t *testing.T) {
	s := requireAPIServer(t)
	pod := newPod("")
	pod.Spec.HostNetwork = true
	s.createPod(t, pod, corev1.PodRunning)
	networks("storage")(pod)
	checkAnswer(t, s.admin.Update(t.Context(), pod), "a pod with hostNetwork has no network namespace")
}

func TestSelectionOfDefinitionsChanges(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	derived := func(name string) string { return netattach.NetworkName(namespace, name) }
	for name, c := range map[string]struct {
		before, after string
		phase         corev1.PodPhase
		ours, noted   string
		edit          func(*corev1.Pod)
		refused       string
	}{
		"added":     {before: "storage", after: "storage, lan@data0", phase: corev1.PodRunning, ours: derived("storage") + ", " + derived("lan") + "@data0", noted: derived("storage")},
		"to no one": {before: "", after: "lan", phase: corev1.PodRunning, ours: derived("lan"), noted: ""},
		"removed":   {before: "storage", after: "", phase: corev1.PodRunning, noted: derived("storage")},
		"new":       {before: "storage", after: "lan", refused: "annotation k8s.v1.cni.cncf.io/networks can change while the pod runs"},
		"malformed": {before: "storage", after: "Lan", phase: corev1.PodRunning, refused: `element 1 "Lan" is not [namespace/]name[@interface]`},
		"ours":      {before: "storage", after: "storage", phase: corev1.PodRunning, edit: networks("rack"), refused: "the pod has the annotation multinet.dev/networks too"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := multusPod(namespace, c.before)
			if c.before == "" {
				pod.Annotations = nil
			}
			s.createPod(t, pod, c.phase)
			if delete(pod.Annotations, npwg.AnnotationNetworks); c.after != "" {
				annotate(npwg.AnnotationNetworks, c.after)(pod)
			}
			if c.edit != nil {
				c.edit(pod)
			}
			err := s.admin.Update(t.Context(), pod)
			checkAnswer(t, err, c.refused)
			if err != nil {
				return
			}
			if ours, noted := pod.Annotations[v1alpha1.AnnotationNetworks], pod.Annotations[atCreation]; ours != c.ours || noted != c.noted {
				t.Errorf("selects %q, noted %q; want %q, %q", ours, noted, c.ours, c.noted)
			}
		})
	}
}
