package v1alpha1_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// multusNamespace is one whose pods select by the annotation of Multus.
func (s *apiServer) multusNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "nad-", Labels: map[string]string{netattach.LabelDefinitions: netattach.LabelDefinitionsNative}}}
	if err := s.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Delete(context.Background(), ns) })
	// The policies learn of a namespace's labels through a cache of the API server.
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		return s.admin.Create(ctx, multusPod(ns.Name, "A"), client.DryRunAll) != nil, nil
	})
	if err != nil {
		t.Fatalf("the policy is not in force: %v", err)
	}
	return ns.Name
}

func multusPod(namespace, networks string) *corev1.Pod {
	pod := newPod("")
	pod.Namespace = namespace
	pod.Annotations = map[string]string{npwg.AnnotationNetworks: networks}
	return pod
}

// TestDefinitionsBecomeNetworks compares the policy with npwg.Parse and netattach.NetworkName.
func TestDefinitionsBecomeNetworks(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	longest := strings.Repeat("a", 48-len(netattach.NetworkName(namespace, "")))
	for _, value := range []string{longest, namespace + "/" + longest + "@x", "storage", " storage ,\tother-ns/lan@data0 ", "a,a,a", "a-0,x/a@net9", strings.Repeat("a,", 15) + "a", "0@eth1.100"} {
		s.becomesNetworks(t, namespace, value)
	}
}

// becomesNetworks creates a pod with a value that can be had.
func (s *apiServer) becomesNetworks(t *testing.T, namespace, value string) {
	t.Helper()
	want, err := selectedByElements(value, namespace)
	if err != nil {
		t.Fatal(err)
	}
	pod := multusPod(namespace, value)
	if err := s.admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("%q: %v", value, err)
		return
	}
	if diff := cmp.Diff(want, selectedByPod(t, pod)); diff != "" {
		t.Errorf("%q (-want +got):\n%s", value, diff)
	}
	if len(pod.Spec.ResourceClaims) != len(want) || len(pod.Spec.ReadinessGates) != 1 || pod.Annotations[requiredPlugins] == "" {
		t.Errorf("%q: claims %v, gates %v", value, pod.Spec.ResourceClaims, pod.Spec.ReadinessGates)
	}
}

// selectedByElements is what a pod with the value is to select, as NETWORK@INTERFACE. The error is that of the parser.
func selectedByElements(value, namespace string) (selected []string, err error) {
	elements, err := npwg.Parse(value, namespace)
	for _, e := range elements {
		selected = append(selected, netattach.NetworkName(e.Namespace, e.Name)+"@"+e.Interface)
	}
	return selected, err
}

// selectedByPod is what the policies made of it.
func selectedByPod(t *testing.T, pod *corev1.Pod) (selected []string) {
	t.Helper()
	selections, err := selection.Parse(pod.Annotations[v1alpha1.AnnotationNetworks])
	if err != nil {
		t.Error(err)
	}
	for _, s := range selections {
		selected = append(selected, s.Network+"@"+s.Interface)
	}
	return selected
}

func TestSelectionsOfDefinitionsThatAreRefused(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	for name, c := range map[string]struct {
		value string
		edit  func(*corev1.Pod)
		want  string
	}{
		"empty element":   {"a,,b", nil, `annotation k8s.v1.cni.cncf.io/networks: element 2 "" is not [namespace/]name[@interface]`},
		"upper case":      {"a, B", nil, `element 2 "B" is not [namespace/]name[@interface]`},
		"two slashes":     {"a/b/c", nil, `element 1 "a/b/c" is not`},
		"long interface":  {"a@abcdefghijklmnop", nil, `element 1 "a@abcdefghijklmnop" is not`},
		"seventeen":       {strings.Repeat("a,", 16) + "a", nil, "a pod selects at most 16 networks"},
		"long name":       {strings.Repeat("a", 49-len(netattach.NetworkName(namespace, ""))), nil, "are too long to be that of a Network"},
		"eth0":            {"a@eth0", nil, `interface name "eth0" is taken in every pod`},
		"interface twice": {"a@x,b@x", nil, `interface "x" is already used by element 1`},
		"both annotations": {"a", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationNetworks] = "storage" },
			"the pod has the annotation multinet.dev/networks too; write all of its networks into one of the two"},
		"default network": {"", func(p *corev1.Pod) { p.Annotations[npwg.AnnotationDefaultNetwork] = "kube-system/x" },
			`annotation v1.multus-cni.io/default-network: Multinet leaves the cluster's default network alone, which is called "default": "kube-system/x" cannot`},
		"host network": {"a", func(p *corev1.Pod) { p.Spec.HostNetwork = true }, "a pod with hostNetwork has no network namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := multusPod(namespace, c.value)
			if c.edit != nil {
				c.edit(pod)
			}
			err := s.admin.Create(t.Context(), pod, client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestDefinitionsElsewhere: Multus may run, so that nothing is done in namespaces without the label.
func TestDefinitionsElsewhere(t *testing.T) {
	s := requireAPIServer(t)
	for _, value := range []string{"storage", `[{"name": "storage"}]`, "A", "["} {
		pod := multusPod(testNamespace, value)
		if err := s.admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Errorf("%q: %v", value, err)
		}
		if len(pod.Annotations) != 1 || len(pod.Spec.ResourceClaims) > 0 {
			t.Errorf("%q: the pod was changed: %v", value, pod.Annotations)
		}
	}
}
