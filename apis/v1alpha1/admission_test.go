package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// requiredPlugins is read by containerd's default validator.
const requiredPlugins = "required-plugins.noderesource.dev"

// newPod selects networks; "" leaves the annotation out.
func newPod(networks string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: testNamespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i:1"}}},
	}
	if networks != "" {
		pod.Annotations = map[string]string{v1alpha1.AnnotationNetworks: networks}
	}
	return pod
}

func templateClaim(name, template string) corev1.PodResourceClaim {
	return corev1.PodResourceClaim{Name: name, ResourceClaimTemplateName: ptr.To(template)}
}

func TestPodsGetClaimsAndGate(t *testing.T) {
	s := requireAPIServer(t)
	attached := corev1.PodReadinessGate{ConditionType: v1alpha1.PodConditionAttached}
	other := corev1.PodReadinessGate{ConditionType: "example.com/ready"}
	own := corev1.PodResourceClaim{Name: "gpu", ResourceClaimName: ptr.To("gpu")}
	long := strings.Repeat("n", 48)

	for name, c := range map[string]struct {
		networks string
		edit     func(*corev1.Pod)
		claims   []corev1.PodResourceClaim
		gates    []corev1.PodReadinessGate
		plugins  string
	}{
		"one network": {networks: "storage",
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev")}},
		"interface and class": {networks: "storage@data0:gold",
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.gold.multinet.dev")}},
		"space around elements": {networks: " storage ,\track ",
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev"), templateClaim("multinet-rack-0", "rack.multinet.dev")}},
		"a network twice, of different class": {networks: "storage,rack,storage:gold",
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev"), templateClaim("multinet-rack-0", "rack.multinet.dev"),
				templateClaim("multinet-storage-1", "storage.gold.multinet.dev")}},
		"names that end in a number": {networks: "a-0,a,a",
			claims: []corev1.PodResourceClaim{templateClaim("multinet-a-0-0", "a-0.multinet.dev"), templateClaim("multinet-a-0", "a.multinet.dev"),
				templateClaim("multinet-a-1", "a.multinet.dev")}},
		"the longest name": {networks: long,
			claims: []corev1.PodResourceClaim{templateClaim("multinet-"+long+"-0", long+".multinet.dev")}},
		"claims and gates of its own": {networks: "storage",
			edit: func(p *corev1.Pod) {
				p.Spec.ResourceClaims = []corev1.PodResourceClaim{own}
				p.Spec.ReadinessGates = []corev1.PodReadinessGate{other}
			},
			claims: []corev1.PodResourceClaim{own, templateClaim("multinet-storage-0", "storage.multinet.dev")},
			gates:  []corev1.PodReadinessGate{other, attached}},
		"a claim of the user's, and nothing else": {networks: "claim=gpu/vf",
			edit:   func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{own} },
			claims: []corev1.PodResourceClaim{own}},
		"claims of the user's beside a network": {networks: "claim=gpu/vf@fast,storage,claim=nic/left:gold,claim=nic/right",
			edit: func(p *corev1.Pod) {
				p.Spec.ResourceClaims = []corev1.PodResourceClaim{own, templateClaim("nic", "pair")}
			},
			claims: []corev1.PodResourceClaim{own, templateClaim("nic", "pair"), templateClaim("multinet-storage-0", "storage.multinet.dev")}},
		"the gate is there": {networks: "storage",
			edit:   func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{attached, other} },
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev")},
			gates:  []corev1.PodReadinessGate{attached, other}},
		"a claim of our name with another template": {networks: "storage",
			edit: func(p *corev1.Pod) {
				p.Spec.ResourceClaims = []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "free-lunch")}
			},
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev")}},
		"other plugins required": {networks: "storage",
			edit:    func(p *corev1.Pod) { p.Annotations[requiredPlugins] = `["x"]` },
			claims:  []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev")},
			plugins: `["x"]`},
		// An apply that builds sets from lists would refuse these.
		"a variable and a port twice": {networks: "storage",
			edit: func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}
				p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 80}}
			},
			claims: []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev")}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := newPod(c.networks)
			if c.edit != nil {
				c.edit(pod)
			}
			before := pod.DeepCopy()
			if err := s.admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			if c.gates == nil {
				c.gates = []corev1.PodReadinessGate{attached}
			}
			if c.plugins == "" {
				c.plugins = `["multinet"]`
			}
			if diff := cmp.Diff(c.claims, pod.Spec.ResourceClaims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.gates, pod.Spec.ReadinessGates); diff != "" {
				t.Errorf("readiness gates (-want +got):\n%s", diff)
			}
			if got := pod.Annotations[requiredPlugins]; got != c.plugins {
				t.Errorf("annotation %s is %s, want %s", requiredPlugins, got, c.plugins)
			}
			if diff := cmp.Diff(before.Spec.Containers[0].Env, pod.Spec.Containers[0].Env); diff != "" {
				t.Errorf("environment (-before +after):\n%s", diff)
			}
		})
	}
}

// bystanders are pods that select no network.
var bystanders = map[string]func(*corev1.Pod){
	"no annotations":    func(*corev1.Pod) {},
	"other annotations": func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} },
	"blank selection":   func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationNetworks: " "} },
	"host network":      func(p *corev1.Pod) { p.Spec.HostNetwork = true },
	"claims and gates": func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "x")}
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "a/b"}}
	},
}

// created returns what the API server makes of each bystander, without what differs from one creation to the next.
func (s *apiServer) created(ctx context.Context) (map[string]string, error) {
	made := map[string]string{}
	for name, edit := range bystanders {
		pod := newPod("")
		edit(pod)
		if err := s.admin.Create(ctx, pod, client.DryRunAll); err != nil {
			return nil, fmt.Errorf("creating pod %q: %w", name, err)
		}
		pod.UID, pod.CreationTimestamp, pod.ManagedFields = "", metav1.Time{}, nil
		text, err := json.Marshal(pod)
		if err != nil {
			return nil, fmt.Errorf("encoding pod %q: %w", name, err)
		}
		made[name] = string(text)
	}
	return made, nil
}

// TestOtherPodsAreUntouched compares with what the API server made of the same pods before it had the policies.
func TestOtherPodsAreUntouched(t *testing.T) {
	s := requireAPIServer(t)
	got, err := s.created(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.before, got); diff != "" {
		t.Errorf("(-without policies +with them):\n%s", diff)
	}
}

// lateSelection is a policy of somebody else that selects networks for a pod with the label late. The API server
// calls policies in an order that is open, so it tells by the pod itself whether its time has come: with the value
// after-gate when our policy was there, with second-pass when it is called for the second time.
const lateSelection = `
object.metadata.labels.late == "after-gate" && has(object.spec.readinessGates) || "pass" in object.metadata.labels ?
	[JSONPatch{op: "add", path: "/metadata/annotations", value: {"multinet.dev/networks": "storage,rack"}}] :
object.metadata.labels.late == "second-pass" ?
	[JSONPatch{op: "add", path: "/metadata/labels/pass", value: "1"}] :
	[]`

// TestReinvocation shows that our policy does the right thing when it is called again for a pod that it has changed,
// and that a pod is refused for which it should have been called again and was not.
func TestReinvocation(t *testing.T) {
	s := requireAPIServer(t)
	s.createLatePolicy(t)
	create := func(networks, late string) (*corev1.Pod, error) {
		pod := newPod(networks)
		pod.Labels = map[string]string{"late": late}
		return pod, s.admin.Create(t.Context(), pod, client.DryRunAll)
	}
	var pod *corev1.Pod
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 20*time.Second, true, func(context.Context) (_ bool, err error) {
		pod, err = create("storage", "after-gate")
		return pod.Annotations[v1alpha1.AnnotationNetworks] == "storage,rack", err
	})
	if err != nil {
		t.Fatalf("waiting for the other policy: %v", err)
	}
	claims := []corev1.PodResourceClaim{templateClaim("multinet-storage-0", "storage.multinet.dev"), templateClaim("multinet-rack-0", "rack.multinet.dev")}
	if diff := cmp.Diff(claims, pod.Spec.ResourceClaims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.PodReadinessGate{{ConditionType: v1alpha1.PodConditionAttached}}, pod.Spec.ReadinessGates); diff != "" {
		t.Errorf("readiness gates (-want +got):\n%s", diff)
	}

	// A policy whose conditions did not match in the first pass is not asked in the second.
	_, err = create("", "second-pass")
	checkAnswer(t, err, `the resource claim "multinet-storage-0" is missing: the annotation was set by a webhook or a policy that came after`)
}

func (s *apiServer) createLatePolicy(t *testing.T) {
	t.Helper()
	const name = "late.example.com"
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
			FailurePolicy:      ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "asked-for", Expression: "'late' in object.metadata.?labels.orValue({})"}},
			Mutations:       []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: lateSelection}}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name}}
	for _, o := range []client.Object{policy, binding} {
		if err := s.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), o) })
	}
}

func TestRefusedPods(t *testing.T) {
	s := requireAPIServer(t)
	for name, c := range map[string]struct {
		edit func(*corev1.Pod)
		want string
	}{
		"host network": {func(p *corev1.Pod) { p.Spec.HostNetwork = true },
			`a pod with hostNetwork has no network namespace of its own to attach "storage" to`},
		"windows": {func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} },
			`pods with os "windows" cannot be attached, only linux`},
		"linux, named": {func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Linux} }, ""},
		"claim of our name that exists already": {func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "multinet-storage-0", ResourceClaimName: ptr.To("mine")}}
		}, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"},
		"an element too long to quote": {func(p *corev1.Pod) {
			p.Annotations[v1alpha1.AnnotationNetworks] = strings.Repeat("x", 6000)
		}, "annotation multinet.dev/networks is malformed: want a comma list"},
		"as much as annotations can hold": {func(p *corev1.Pod) {
			p.Annotations[v1alpha1.AnnotationNetworks] = strings.Repeat("a,", 130_000)
		}, `element 17 "a": a pod selects at most 16 networks`},
		"an entry that the pod does not have": {func(p *corev1.Pod) {
			p.Annotations[v1alpha1.AnnotationNetworks] = "storage,claim=pair/vf"
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{templateClaim("other", "x")}
		}, `"claim=pair/vf" selects from an entry of spec.resourceClaims that the pod does not have`},
		"no entry at all": {func(p *corev1.Pod) {
			p.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/vf"
		}, `"claim=pair/vf" selects from an entry of spec.resourceClaims that the pod does not have`},
		"static": {func(p *corev1.Pod) {
			p.Annotations[corev1.MirrorPodAnnotationKey] = "x"
			p.Spec.NodeName = "n1"
		}, "static pods cannot select networks"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := newPod("storage")
			c.edit(pod)
			checkAnswer(t, s.admin.Create(t.Context(), pod, client.DryRunAll), c.want)
		})
	}
}
