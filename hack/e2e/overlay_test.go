//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// agentKilledWhilePodsStartOnOverlay: all pods become Ready and reach each other; finish looks for what is left over.
func agentKilledWhilePodsStartOnOverlay(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("throng", overlaySpec())
	names := s.createMany(15, "c", nodeC, "throng")
	names = append(names, s.createMany(15, "d", nodeD, "throng")...)
	s.waitAttachments(8, "8 of 30 pods to be attached", func(a v1alpha1.PodNetworkAttachment) bool {
		return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.AttachmentConditionReady)
	})
	s.killAgent(nodeC)
	s.waitReady(3*time.Minute, names...)
	s.mesh(names)
	s.freshAgent(nodeC)
	s.mesh(names)
}

// mesh pings from every pod to every other, by both families. The pings start on the nodes: that many executions in pods
// would take minutes.
func (s *scene) mesh(names []string) {
	s.t.Helper()
	var targets []string
	for _, name := range names {
		for _, address := range s.addressesOf(name) {
			targets = append(targets, address.String())
		}
	}
	for _, node := range []string{nodeC, nodeD} {
		s.until(90*time.Second, fmt.Sprintf("the pods of %s to reach all %d addresses", node, len(targets)), func(ctx context.Context) error {
			script, err := s.meshScript(ctx, node, targets)
			if err != nil {
				return err
			}
			out, err := s.OnNode(ctx, node, "sh", "-c", script)
			if out = strings.TrimSpace(out); err == nil && out != "" {
				err = fmt.Errorf("%d were not reached: %.300s", strings.Count(out, "\n")+1, out)
			}
			return err
		})
	}
}

// meshScript writes a line for each pair of namespace and address without answer.
func (s *scene) meshScript(ctx context.Context, node string, targets []string) (string, error) {
	state, err := s.inspectNode(ctx, node)
	if err != nil {
		return "", err
	}
	var script strings.Builder
	pods := 0
	for _, a := range s.attachmentsIn(ctx, node) {
		l, err := state.linkOf(a)
		if err != nil {
			return "", err
		}
		pods++
		fmt.Fprintf(&script, "nsenter --net=%s sh -c 'for t in %s; do ping -I net1 -q -c 1 -W 1 $t >/dev/null 2>&1 || echo %s to $t; done' &\n",
			l.namespace, strings.Join(targets, " "), a.Spec.Pod.Name)
	}
	if pods == 0 {
		return "", fmt.Errorf("node %s runs none of the pods", node)
	}
	script.WriteString("wait")
	return script.String(), nil
}

// attachmentsIn are those of the test's namespace on a node.
func (s *scene) attachmentsIn(ctx context.Context, node string) []v1alpha1.PodNetworkAttachment {
	s.t.Helper()
	w, err := s.world(ctx)
	s.must(err)
	var found []v1alpha1.PodNetworkAttachment
	for _, a := range w.attachments {
		if a.Namespace == s.namespace && a.Spec.NodeName == node {
			found = append(found, a)
		}
	}
	return found
}

// TestOverlayIsReachableSoon reports how long after its attachment a pod answers to another node.
func TestOverlayIsReachableSoon(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("soon", overlaySpec())
	s.create("watcher", nodeC, "soon")
	s.waitReady(time.Minute, "watcher")
	s.create("newcomer", nodeD, "soon")
	var address netip.Addr
	s.until(30*time.Second, "the newcomer to have an address", func(context.Context) error {
		a, ok := s.attachments("newcomer")["net1"]
		if !ok {
			return errors.New("it has none")
		}
		address = netip.MustParsePrefix(a.Spec.Addresses[0].Address).Addr()
		return nil
	})
	first := s.firstAnswer("watcher", address)
	s.waitReady(time.Minute, "newcomer")
	attached := s.attachments("newcomer")["net1"].Status.AttachedAt
	t.Logf("%s answered to another node %.0f ms after it was attached there", address, first.Sub(attached.Time).Seconds()*1000)
	s.reaches("newcomer", "watcher")
}

// firstAnswer pings until there is an answer, and returns when it came. The nodes have the same clock; the pod's own ping
// cannot tell the time.
func (s *scene) firstAnswer(from string, address netip.Addr) time.Time {
	s.t.Helper()
	a := s.attachments(from)["net1"]
	state, err := s.inspectNode(s.ctx, a.Spec.NodeName)
	s.must(err)
	l, err := state.linkOf(a)
	s.must(err)
	out, err := s.OnNode(s.ctx, a.Spec.NodeName, "sh", "-c", fmt.Sprintf(
		"nsenter --net=%s timeout 60 ping -n -D -I %s -i 0.02 %s | grep --line-buffered -m 1 'bytes from'", l.namespace, l.Name, address))
	s.must(err)
	var seconds float64
	if _, err := fmt.Sscanf(out, "[%f]", &seconds); err != nil {
		s.t.Fatalf("ping wrote %q: %v", out, err)
	}
	return time.UnixMicro(int64(seconds * 1e6))
}
