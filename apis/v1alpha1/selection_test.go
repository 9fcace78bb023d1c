package v1alpha1_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// sequence is what a generated element is glued from: every separator, and text on both sides of every rule.
var sequence = []string{"a", "storage", "a-0", "-a", "a-", "A", "9", strings.Repeat("n", 48), strings.Repeat("n", 49),
	"claim=", "claim=a/b", "claim=a/storage", "claim=multinet-a/b", "class=", "class=a", "class=storage", "class=" + strings.Repeat("n", 48), "a/b", "=", "@", "@", ":", ":", ",", ",", " ", "\t", "\n", "\u00a0", "", "net1", "net2", "eth0", "lo", "eth0.5", "_x", "x_",
	strings.Repeat("i", 15), strings.Repeat("i", 16), strings.Repeat("q", 63), strings.Repeat("q", 64), "é", "名", "/", "\"", "'", "\\", "{", "."}

func generatedSelections(n int) (values []string) {
	// The same values in each run.
	random := rand.New(rand.NewPCG(2, 2))
	for range n {
		var value strings.Builder
		for range 1 + random.IntN(7) {
			value.WriteString(sequence[random.IntN(len(sequence))])
		}
		values = append(values, value.String())
	}
	return values
}

func elements(n int) string {
	return strings.TrimSuffix(strings.Repeat("a,", n), ",")
}

// TestPoliciesAgreeWithParser asks both about the same values: what one accepts the other accepts, with the same claims, and
// what one refuses the other refuses in the same words.
func TestPoliciesAgreeWithParser(t *testing.T) {
	s := requireAPIServer(t)
	values := slices.Concat(generatedSelections(200), []string{
		"", " ", ",", "a", "a,", ",a", "a@", "a:", "a@:", "a@x:", "@x", ":q", "a@b@c", "a:b:c", "a:b@c", "a@net2,b", "a@net2,b@net1", "a,b@net1",
		"a@x,b@x", "a@X,b@x", "a@lo", "a@eth0", "a@eth1", "a,a,a:q,b,a", elements(16), elements(17), elements(18), elements(16) + ",",
		`[{"name":"a"}]`, "ns/a", "a b", "a\x00b", "a@\x7f", "a@x\u200b",
		"claim=a/b", "claim=a/b@x:q,claim=a/c,a", "claim=a/b,claim=a/b", "claim=a/b@net2,claim=a/c", "claim=a/b,c,claim=a/b@x", "claim=a", "claim=a/",
		"claim=/b", "claim=a/b/c", "claim=a/b@eth0", "claim=a/b:", "claim=multinet-a/b", "claim=Multinet/b", "claim=a/" + strings.Repeat("r", 63),
		"claim=" + strings.Repeat("e", 64) + "/b", "Claim=a/b", "claim",
		"class=a", "class=a@x", "class=a@x,class=a", "a,class=a,a:a,class=b", "class=", "class=a:", "class=a:b", "class=a@x:b", "class=a@net2,b", "class=a@lo", "class", "class=a/b",
		"Class=a", "class=-a", "class=class=a", "class=" + strings.Repeat("n", 48), "class=" + strings.Repeat("n", 49), " class=a ", "a@class=b", "claim=a/é", " claim=a/b ",
	})
	accepted := 0
	for _, value := range values {
		t.Run(fmt.Sprintf("%.40q", value), func(t *testing.T) {
			selections, parseErr := selection.Parse(value)
			pod := newPod("")
			pod.Annotations = map[string]string{v1alpha1.AnnotationNetworks: value}
			pod.Spec.ResourceClaims = ownEntries(selections)
			err := s.admin.Create(t.Context(), pod, client.DryRunAll)
			if parseErr != nil {
				comparePolicyError(t, err, parseErr)
				return
			}
			if err != nil {
				t.Fatalf("the parser accepts what the policy refuses: %v", err)
			}
			accepted++
			compareClaims(t, pod, selections)
		})
	}
	if accepted < 15 || accepted > len(values)-15 {
		t.Errorf("%d of %d values are well formed: too few of one kind to compare", accepted, len(values))
	}
}

func comparePolicyError(t *testing.T, err, parseErr error) {
	t.Helper()
	var element *selection.Error
	if !errors.As(parseErr, &element) {
		t.Fatalf("the parser's error is a %T", parseErr)
	}
	switch {
	case err == nil:
		t.Errorf("the policy accepts what the parser refuses: %v", parseErr)
	// Go's %q and CEL's quote write what is not ASCII in different ways.
	case strings.IndexFunc(element.Element, func(r rune) bool { return r < ' ' || r > '~' }) < 0 && !strings.Contains(err.Error(), parseErr.Error()):
		t.Errorf("the policy says\n%v\nthe parser says\n%v", err, parseErr)
	}
}

func compareClaims(t *testing.T, pod *corev1.Pod, selections []selection.Selection) {
	t.Helper()
	got := map[string]string{}
	for _, c := range pod.Spec.ResourceClaims {
		got[c.Name] = *c.ResourceClaimTemplateName
	}
	entries := 0
	for _, want := range selections {
		if want.OwnClaim() {
			continue
		}
		entries++
		template := v1alpha1.ClaimTemplateName(want.Network, want.QoSClass)
		if want.ByClass() {
			template = v1alpha1.ClassTemplateName(want.QoSClass)
		}
		if got[want.PodClaimName] != template {
			t.Errorf("claim %s has the template %q, want %q", want.PodClaimName, got[want.PodClaimName], template)
		}
	}
	for _, own := range ownEntries(selections) {
		entries++
		if got[own.Name] != *own.ResourceClaimTemplateName {
			t.Errorf("the pod's own claim %s has the template %q, want %q", own.Name, got[own.Name], *own.ResourceClaimTemplateName)
		}
	}
	if len(pod.Spec.ResourceClaims) != entries {
		t.Errorf("%d claims, want %d for %v", len(pod.Spec.ResourceClaims), entries, selections)
	}
}

// ownEntries are the entries of spec.resourceClaims that a pod with these selections has from its user.
func ownEntries(selections []selection.Selection) (entries []corev1.PodResourceClaim) {
	for _, s := range selections {
		entry := templateClaim(s.PodClaimName, "mine")
		if s.OwnClaim() && !slices.ContainsFunc(entries, func(e corev1.PodResourceClaim) bool { return e.Name == entry.Name }) {
			entries = append(entries, entry)
		}
	}
	return entries
}
