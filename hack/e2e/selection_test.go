//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestMalformedSelectionIsRefusedWithTheBadPart(t *testing.T) {
	s := newScene(t)
	for name, test := range map[string]struct{ selection, want string }{
		"no network":             {"storage,,rack", `element 2 ""`},
		"name that is none":      {"storage, Rack_1", `"Rack_1" is not the name of a Network`},
		"interface too long":     {"storage@averylonginterface", `"averylonginterface" is longer than 15`},
		"interface with a slash": {"storage@net/1", `"net/1" is not an interface name`},
		"interface of the pod":   {"storage@eth0", `"eth0" is taken in every pod`},
		"class that is none":     {"storage:Gold", `"Gold" is not the name of a QoSClass`},
		"interface twice":        {"storage@a,rack@a", `interface "a" is already used by element 1`},
		"default name twice":     {"storage@net2,rack", `interface "net2" is already used by element 1`},
		"too many":               {strings.Repeat("storage,", 16) + "straw", `"straw": a pod selects at most 16`},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Create(s.ctx, s.pod("bad", "", test.selection))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the API server said %v, want a refusal with %s", err, test.want)
			}
		})
	}
	t.Run("host network", func(t *testing.T) {
		pod := s.pod("bad", "", "storage")
		pod.Spec.HostNetwork = true
		if err := s.Create(s.ctx, pod); err == nil || !strings.Contains(err.Error(), "hostNetwork") {
			t.Errorf("the API server said %v, want a refusal that names hostNetwork", err)
		}
	})
}

func TestUnknownNetworkHoldsThePodUntilItIsThere(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.clearNetwork("later")
	s.create("early", "", "later")
	const reason = v1alpha1.ReasonUnknownNetwork
	if m := s.waitCondition("early", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, reason); !strings.Contains(m, `"later"`) {
		t.Errorf("the condition does not name the network: %s", m)
	}
	if m := s.waitEvent("early", reason); !strings.Contains(m, `"later"`) {
		t.Errorf("the event does not name the network: %s", m)
	}
	s.notReady("early")
	s.network("later", networkSpec("eth1"))
	s.waitReady(30*time.Second, "early")
}

func TestNamespaceThatTheNetworkDoesNotAdmit(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	spec := networkSpec("eth1")
	spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"e2e.multinet.dev/team": s.namespace}}
	s.network("private", spec)
	s.create("guest", "", "private")
	const reason = v1alpha1.ReasonNotAdmitted
	if m := s.waitCondition("guest", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, reason); !strings.Contains(m, "private") {
		t.Errorf("the condition does not name the network: %s", m)
	}
	s.waitEvent("guest", reason)
	s.notReady("guest")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	s.must(s.Patch(s.ctx, namespace, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"e2e.multinet.dev/team":"`+s.namespace+`"}}}`))))
	s.waitReady(30*time.Second, "guest")
}

func TestTwoNetworksAndNamesOfInterfaces(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.network("one", networkSpec("eth1"))
	s.network("two", networkSpec("eth1"))
	s.create("both", nodeA, "one@fast0, two, one")
	s.create("peer", nodeB, "two@fast0, one@slow.1")
	s.waitReady(time.Minute, "both", "peer")
	both, peer := s.attachments("both"), s.attachments("peer")
	pod, err := s.get(s.ctx, "both")
	s.must(err)
	for _, to := range []struct{ from, target string }{{"fast0", "slow.1"}, {"net2", "fast0"}, {"net3", "slow.1"}} {
		for _, a := range peer[to.target].Spec.Addresses {
			address, _, _ := strings.Cut(a.Address, "/")
			if _, err := s.InPod(s.ctx, pod, "ping", "-I", to.from, "-c", "2", "-i", "0.2", "-W", "2", address); err != nil {
				t.Errorf("from %s (%v) to %s: %v", to.from, both[to.from].Spec.Addresses, to.target, err)
			}
		}
	}
	s.answersForItself("peer", "slow.1", both["fast0"], both["net3"])
}

// answersForItself asks over a pod's interface who has the IPv4 addresses of two attachments of one pod to one
// Network. The kernel's default is that both interfaces answer for both.
func (s *scene) answersForItself(from, device string, attachments ...v1alpha1.PodNetworkAttachment) {
	s.t.Helper()
	pod, err := s.get(s.ctx, from)
	s.must(err)
	for _, a := range attachments {
		address, _, _ := strings.Cut(a.Spec.Addresses[0].Address, "/")
		out, err := s.InPod(s.ctx, pod, "arping", "-I", device, "-b", "-c", "2", "-w", "3", address)
		s.must(err)
		want := strings.ToLower("[" + a.Spec.MAC + "]")
		for line := range strings.Lines(strings.ToLower(out)) {
			if strings.Contains(line, "reply from") && !strings.Contains(line, want) {
				s.t.Errorf("%s of %s is answered for by another interface: %s", address, a.Spec.Interface, line)
			}
		}
	}
}

func TestPodWithoutNetworksIsNotTouched(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	pod := s.create("plain", "", "")
	s.waitReady(30*time.Second, "plain")
	pod, err := s.get(s.ctx, pod.Name)
	s.must(err)
	if len(pod.Spec.ResourceClaims) > 0 || len(pod.Spec.ReadinessGates) > 0 || len(pod.Annotations) > 0 {
		t.Errorf("a pod that selects nothing got claims %v, gates %v, annotations %v", pod.Spec.ResourceClaims, pod.Spec.ReadinessGates, pod.Annotations)
	}
}

func TestUnknownQoSClassHoldsThePodUntilItIsThere(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	class := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-late"}}
	s.must(client.IgnoreNotFound(s.Delete(s.ctx, class.DeepCopy())))
	spec := networkSpec("eth1")
	spec.AllowedQoSClasses = []string{class.Name}
	s.network("classy", spec)
	s.create("choosy", "", "classy:e2e-late")
	s.waitCondition("choosy", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonUnknownQoSClass)
	s.must(s.Create(s.ctx, class))
	t.Cleanup(func() { _ = s.Delete(s.ctx, class) })
	s.waitReady(30*time.Second, "choosy")
	s.until(time.Minute, "the attachment to say that the class is enforced", func(context.Context) error {
		a := s.attachments("choosy")["net1"]
		if !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.AttachmentConditionQoSEnforced) {
			return fmt.Errorf("its conditions are %v", a.Status.Conditions)
		}
		return nil
	})
}
