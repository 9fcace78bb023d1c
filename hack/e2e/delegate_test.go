//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
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
	"github.com/multinet-dev/multinet/demo/cluster"
)

// bridgeManifest is as it stands in clusters with Multus.
const bridgeManifest = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: bridged
spec:
  config: '{
      "cniVersion": "0.4.0",
      "type": "bridge",
      "bridge": "br-e2e",
      "ipam": {"type": "host-local", "subnet": "10.61.0.0/24"}
    }'
`

// TestPodOfPlugins: pods of Multus, unchanged, on a macvlan that Multinet makes itself and on a bridge that CNI plugins of the node make. It
// gives all agents the rights for it, and takes them away again.
func TestPodOfPlugins(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.adoptDefinitions()
	for _, manifest := range []string{fmt.Sprintf(multusManifest, networkSpec("eth1").IPAM.Ranges[0].CIDR), bridgeManifest} {
		out, err := s.Kubectl(s.ctx, strings.NewReader(manifest), "apply", "-n", s.namespace, "-f", "-")
		if err != nil {
			t.Fatalf("applying the definition: %v: %s", err, out)
		}
	}
	s.allowPlugins()
	network := netattach.NetworkName(s.namespace, "bridged")
	s.waitPlugins(network)
	for _, name := range []string{"left", "right"} {
		pod := s.pod(name, nodeA, "")
		pod.Annotations = map[string]string{npwg.AnnotationNetworks: "lan, bridged"}
		s.must(s.Create(s.ctx, pod))
	}
	s.waitReady(2*time.Minute, "left", "right")
	left, right := s.bridged("left"), s.bridged("right")
	pod, err := s.get(s.ctx, "left")
	s.must(err)
	if out, err := s.InPod(s.ctx, pod, "ping", "-I", "net2", "-c", "1", "-W", "2", right.Addr().String()); err != nil || left == right {
		t.Errorf("ping from %s to %s: %v: %s", left, right, err, out)
	}
	// The next agent finds what plugins have made, and takes it away.
	s.killAgent(nodeA)
	s.remove(false, "left")
	s.waitGone(time.Minute, "left")
	s.remove(true, "right")
	s.waitGone(time.Minute, "right")
	s.until(time.Minute, "nothing of the plugins to be left", func(ctx context.Context) error {
		out, err := s.OnNode(ctx, nodeA, "sh", "-c", `ls /var/lib/cni/networks/bridged | grep ^10; ls /var/lib/multinet/delegate/interfaces /var/lib/multinet/delegate/libcni/results | grep net2; ip -o link show master br-e2e; true`)
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
	_, err = s.OnNode(s.ctx, nodeA, "ip", "link", "delete", "br-e2e")
	s.must(err)
}

// waitPlugins returns when a Network of CNI plugins can be had on a node.
func (s *scene) waitPlugins(network string) {
	s.t.Helper()
	s.until(time.Minute, "the Network of plugins to be ready", func(ctx context.Context) error {
		var n v1alpha1.Network
		if err := s.Get(ctx, client.ObjectKey{Name: network}, &n); err != nil {
			return err
		}
		if n.Status.Nodes == 0 {
			return fmt.Errorf("%+v", n.Status.Conditions)
		}
		return nil
	})
}

// bridged is the address on net2, as the attachment, network-status and the pod itself tell it.
func (s *scene) bridged(name string) netip.Prefix {
	s.t.Helper()
	a := s.attachments(name)["net2"]
	if len(a.Status.Addresses) != 1 || a.Status.Device == nil || a.Status.Device.Kind != v1alpha1.DeviceKindCNI {
		s.t.Fatalf("attachment of %s: %+v", name, a.Status)
	}
	address := netip.MustParsePrefix(a.Status.Addresses[0])
	pod, err := s.get(s.ctx, name)
	s.must(err)
	list, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	if err != nil || len(list) != 3 || list[1].Interface != "net1" || list[2].Interface != "net2" || list[2].Name != s.namespace+"/bridged" ||
		len(list[2].IPs) != 1 || list[2].IPs[0] != address.Addr() || list[2].MAC != a.Status.MAC {
		s.t.Errorf("network-status of %s: %v: %s", name, err, pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	}
	out, err := s.InPod(s.ctx, pod, "ip", "-o", "address", "show", "net2")
	if err != nil || !strings.Contains(out, address.String()) || !strings.HasPrefix(address.String(), "10.61.0.") {
		s.t.Errorf("net2 of %s: %v: %s", name, err, out)
	}
	return address
}

// allowPlugins is what an admin does: the namespace's label, and the patch of the agents. Which plugins may run stands in
// testdata/uplinks.yaml.
func (s *scene) allowPlugins() {
	s.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	s.must(s.Patch(s.ctx, namespace, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"`+netattach.LabelPlugins+`":"`+netattach.LabelPluginsAllowed+`"}}}`))))
	agents := func(stdin io.Reader, args ...string) {
		s.t.Helper()
		if out, err := s.Kubectl(s.ctx, stdin, append(args, "--namespace", cluster.Namespace)...); err != nil {
			s.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		s.must(s.WaitRollout(s.ctx, 3*time.Minute))
	}
	patch, err := os.Open(filepath.Join(tool.Repository, "manifests", "agent", "cni-plugins.yaml"))
	s.must(err)
	defer patch.Close()
	agents(patch, "patch", "daemonset", "multinet-agent", "--patch-file", "/dev/stdin")
	s.t.Cleanup(func() { agents(nil, "rollout", "undo", "daemonset", "multinet-agent") })
}
