//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// multusManifest is as it stands in clusters with Multus and whereabouts.
const multusManifest = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: lan
spec:
  config: '{
      "cniVersion": "0.3.1",
      "type": "macvlan",
      "master": "eth1",
      "mode": "bridge",
      "ipam": {
        "type": "whereabouts",
        "range": "%s",
        "log_file": "/var/log/whereabouts.log"
      }
    }'
`

// TestPodOfMultus: a NetworkAttachmentDefinition and pods that were written for Multus, in a namespace with the label.
func TestPodOfMultus(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.adoptDefinitions()
	s.applyDefinition(s.namespace, fmt.Sprintf(multusManifest, networkSpec("eth1").IPAM.Ranges[0].CIDR))
	for name, node := range map[string]string{"left": nodeA, "right": nodeB} {
		s.createOfMultus(name, node, "lan")
	}
	s.waitReady(time.Minute, "left", "right")
	s.reaches("left", "right")
	for _, name := range []string{"left", "right"} {
		a := s.attachments(name)["net1"]
		if want := netattach.NetworkName(s.namespace, "lan"); a.Spec.NetworkName != want {
			t.Errorf("pod %s is on Network %q, want %q", name, a.Spec.NetworkName, want)
		}
		s.assertMultusStatus(name, a)
	}
	if out, err := s.Kubectl(s.ctx, nil, "get", "networks.multinet.dev", "-o", "wide"); err != nil || !strings.Contains(out, s.namespace+"/lan") {
		t.Errorf("the Network does not show where it comes from: %v\n%s", err, out)
	}
}

// adoptDefinitions sets the label and waits until the policies know of it.
func (s *scene) adoptDefinitions() {
	s.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	s.must(s.Patch(s.ctx, namespace, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"`+netattach.LabelDefinitions+`":"`+netattach.LabelDefinitionsNative+`"}}}`))))
	s.until(30*time.Second, "the policies to act in the namespace", func(ctx context.Context) error {
		pod := s.pod("malformed", "", "")
		pod.Annotations = map[string]string{npwg.AnnotationNetworks: "A"}
		if s.Create(ctx, pod, client.DryRunAll) == nil {
			return errors.New("a malformed annotation is accepted")
		}
		return nil
	})
}

func (s *scene) applyDefinition(namespace, manifest string) {
	s.t.Helper()
	if out, err := s.Kubectl(s.ctx, strings.NewReader(manifest), "apply", "-n", namespace, "-f", "-"); err != nil {
		s.t.Fatalf("applying the definition: %v: %s", err, out)
	}
}

// createOfMultus creates a pod that selects by the annotation of Multus.
func (s *scene) createOfMultus(name, node, networks string) *corev1.Pod {
	s.t.Helper()
	pod := s.pod(name, node, "")
	pod.Annotations = map[string]string{npwg.AnnotationNetworks: networks}
	s.must(s.Create(s.ctx, pod))
	return pod
}

// assertMultusStatus: the default network stands first, then the definition by its name, in the encoding of the reference client.
func (s *scene) assertMultusStatus(name string, a v1alpha1.PodNetworkAttachment) {
	s.t.Helper()
	pod, err := s.get(s.ctx, name)
	s.must(err)
	text := pod.Annotations[v1alpha1.AnnotationNetworkStatus]
	list, err := netstatus.Decode(text)
	if err != nil || len(list) != 2 {
		s.t.Fatalf("network-status of %s: %v: %s", name, err, text)
	}
	if again, err := netstatus.Encode(list); err != nil || again != text {
		s.t.Errorf("network-status of %s is not as the reference client writes it: %v: %s", name, err, text)
	}
	got := list[1]
	if !list[0].Default || list[0].Interface != "eth0" || got.Name != s.namespace+"/lan" || got.Interface != "net1" || got.MAC != a.Status.MAC {
		s.t.Errorf("network-status of %s: %s", name, text)
	}
	if ips := s.addressesOf(name); len(got.IPs) != 1 || got.IPs[0] != ips[0] {
		s.t.Errorf("network-status of %s has %v, the attachment %v", name, got.IPs, ips)
	}
}
