package v1alpha1_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// agentScopeInForce tells whether all policies about the agent refuse a token without a node.
func (s *apiServer) agentScopeInForce(ctx context.Context) bool {
	agent, err := s.asAgent("")
	if err != nil {
		return false
	}
	pod, pna := newPod(""), newAttachment("n1")
	pod.Name, pod.GenerateName = "", "canary-"
	pna.Finalizers = nil
	for _, o := range []client.Object{pod, pna} {
		if s.admin.Create(ctx, o) != nil {
			return false
		}
		defer func() { _ = s.admin.Delete(ctx, o, client.GracePeriodSeconds(0)) }()
	}
	relabelling := client.RawPatch(types.MergePatchType, []byte(relabel))
	for _, err := range []error{
		agent.Create(ctx, newSlice("canary", "n1"), client.DryRunAll),
		agent.Status().Patch(ctx, pod, relabelling, client.DryRunAll),
		agent.Patch(ctx, pna, relabelling, client.DryRunAll),
	} {
		if err == nil || !strings.Contains(err.Error(), "must not touch") {
			return false
		}
	}
	return true
}

func newSlice(name, node string) *resourcev1.ResourceSlice {
	return &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.ResourceSliceSpec{
		Driver: v1alpha1.DriverName, NodeName: ptr.To(node), Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1}}}
}

func newAttachment(node string) *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "scope-", Namespace: testNamespace,
			Finalizers: []string{v1alpha1.FinalizerRelease, "example.com/other"}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{Pod: v1alpha1.PodReference{Name: "p", UID: "1"}, NetworkName: "storage", NodeName: node,
			Interface: "net1", Type: v1alpha1.NetworkTypeMacvlan, MAC: "02:00:00:00:00:01", QoS: &v1alpha1.ResolvedQoS{ClassName: "gold"}},
	}
}

// Patches as the agent sends them, and some that it must not.
const (
	releasePatch  = `{"metadata":{"finalizers":["example.com/other"]}}`
	allFinalizers = `{"metadata":{"finalizers":[]}}`
	relabel       = `{"metadata":{"labels":{"a":"b"}}}`
	disown        = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"q","uid":"2"}]}}`
	statusPatch   = `{"status":{"mtu":1500}}`
	qosPatch      = `{"spec":{"qos":{"priority":7}}}`
)

func TestAgentScopeOfAttachments(t *testing.T) {
	s := requireAPIServer(t)
	for name, c := range map[string]struct {
		token, node string
		status      bool
		patch       string
		want        string
	}{
		"releases its own":           {"n1", "n1", false, releasePatch, ""},
		"reports on its own":         {"n1", "n1", true, statusPatch, ""},
		"releases another's":         {"n1", "n2", false, releasePatch, `the agent of node "n1" must not touch an attachment of node "n2"`},
		"reports on another's":       {"n1", "n2", true, statusPatch, `the agent of node "n1" must not touch an attachment of node "n2"`},
		"token without a node":       {"", "n1", true, statusPatch, `the agent of node "" must not touch an attachment of node "n1"`},
		"removes others' finalizers": {"n1", "n1", false, allFinalizers, "removes the finalizer multinet.dev/release, nothing else"},
		"relabels":                   {"n1", "n1", false, relabel, "removes the finalizer multinet.dev/release, nothing else"},
		"gives to another owner":     {"n1", "n1", false, disown, "removes the finalizer multinet.dev/release, nothing else"},
		"gives itself priority":      {"n1", "n1", false, qosPatch, "removes the finalizer multinet.dev/release, nothing else"},
	} {
		t.Run(name, func(t *testing.T) {
			pna := newAttachment(c.node)
			if err := s.admin.Create(t.Context(), pna); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.removeAttachment(t, pna) })
			agent, err := s.asAgent(c.token)
			if err != nil {
				t.Fatal(err)
			}
			patch := client.RawPatch(types.MergePatchType, []byte(c.patch))
			if c.status {
				err = agent.Status().Patch(t.Context(), pna.DeepCopy(), patch)
			} else {
				err = agent.Patch(t.Context(), pna.DeepCopy(), patch)
			}
			checkAnswer(t, err, c.want)
		})
	}
}

func (s *apiServer) removeAttachment(t *testing.T, pna *v1alpha1.PodNetworkAttachment) {
	// The test's own context is done when it is cleaned up.
	ctx := context.WithoutCancel(t.Context())
	if err := s.admin.Patch(ctx, pna, client.RawPatch(types.MergePatchType, []byte(allFinalizers))); err != nil {
		t.Errorf("removing finalizers: %v", err)
	}
	if err := s.admin.Delete(ctx, pna); err != nil {
		t.Errorf("deleting: %v", err)
	}
}

func TestAgentScopeOfPods(t *testing.T) {
	s := requireAPIServer(t)
	const refusal = "of a pod a node agent writes the condition multinet.dev/attached and the annotations"
	for name, c := range map[string]struct{ token, body, want string }{
		"its part": {"n1", `{"metadata":{"annotations":{"multinet.dev/pod-ips":"[]","k8s.v1.cni.cncf.io/network-status":"[]"}},
			"status":{"conditions":[{"type":"multinet.dev/attached","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, ""},
		"pod of another node": {"n2", `{"status":{"conditions":[{"type":"multinet.dev/attached","status":"True"}]}}`,
			`the agent of node "n2" must not touch a pod of node "n1"`},
		"another condition":  {"n1", `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, refusal},
		"another annotation": {"n1", `{"metadata":{"annotations":{"a":"b"}}}`, refusal},
		"a label":            {"n1", `{"metadata":{"labels":{"app":"stolen"}}}`, refusal},
		"the phase":          {"n1", `{"status":{"phase":"Failed"}}`, refusal},
		// Two policies refuse this; which of them answers is open.
		"the selection": {"n1", `{"metadata":{"annotations":{"multinet.dev/networks":"x"}}}`, "denied request"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := newPod("storage")
			pod.Name, pod.GenerateName = "", "scope-"
			pod.Spec.NodeName = "n1"
			if err := s.admin.Create(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)) })
			agent, err := s.asAgent(c.token)
			if err != nil {
				t.Fatal(err)
			}
			target := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}
			err = agent.Status().Patch(t.Context(), target, client.RawPatch(types.StrategicMergePatchType, []byte(c.body)))
			checkAnswer(t, err, c.want)
		})
	}
}

func TestAgentScopeOfResourceSlices(t *testing.T) {
	s := requireAPIServer(t)
	agent, err := s.asAgent("n1")
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, agent.Create(t.Context(), newSlice("foreign", "n2")), `the agent of node "n1" must not touch a ResourceSlice of node "n2"`)
	otherDriver := newSlice("other", "n1")
	otherDriver.Spec.Driver = "gpu.example.com"
	checkAnswer(t, agent.Create(t.Context(), otherDriver), `a node agent must not touch a ResourceSlice of driver "gpu.example.com"`)
	foreign, own := newSlice("n2", "n2"), newSlice("n1", "n1")
	if err := s.admin.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), foreign) })
	checkAnswer(t, agent.Delete(t.Context(), foreign.DeepCopy()), `the agent of node "n1" must not touch a ResourceSlice of node "n2"`)
	checkAnswer(t, agent.Create(t.Context(), own), "")
	own.Spec.Pool.Generation++
	checkAnswer(t, agent.Update(t.Context(), own), "")
	checkAnswer(t, agent.Delete(t.Context(), own), "")
}

// TestAgentHasNoOtherRights asks the API server's authorizer about what the role must not contain.
func TestAgentHasNoOtherRights(t *testing.T) {
	s := requireAPIServer(t)
	agent, err := s.asAgent("n1")
	if err != nil {
		t.Fatal(err)
	}
	for name, attempt := range map[string]func() error{
		"create an attachment": func() error { return agent.Create(t.Context(), newAttachment("n1")) },
		"create a pod":         func() error { return agent.Create(t.Context(), newPod("")) },
		"read secrets":         func() error { return agent.List(t.Context(), &corev1.SecretList{}) },
		"change a Network": func() error {
			return agent.Patch(t.Context(), &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, client.RawPatch(types.MergePatchType, []byte(relabel)))
		},
	} {
		t.Run(name, func(t *testing.T) { checkAnswer(t, attempt(), "forbidden") })
	}
}
