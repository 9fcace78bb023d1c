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
	s.mesh("throng")
	s.freshAgent(nodeC)
	s.mesh("throng")
}

// mesh pings from every pod of a Network to all on other nodes and to the next one on its own, by both families. More pairs
// would not fit into the kernel's table of neighbours, which all nodes here share. The pings start on the nodes: that many
// executions in pods would take minutes.
func (s *scene) mesh(network string) {
	s.t.Helper()
	byNode := map[string][]v1alpha1.PodNetworkAttachment{}
	for _, a := range s.attachmentsOf(network) {
		byNode[a.Spec.NodeName] = append(byNode[a.Spec.NodeName], a)
	}
	for node := range byNode {
		s.until(90*time.Second, "the pods of "+node+" to reach the others", func(ctx context.Context) error {
			script, err := s.meshScript(ctx, node, byNode)
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

// meshScript writes a line for each pair of pod and address without answer.
func (s *scene) meshScript(ctx context.Context, node string, byNode map[string][]v1alpha1.PodNetworkAttachment) (string, error) {
	state, err := s.inspectNode(ctx, node)
	if err != nil {
		return "", err
	}
	var elsewhere []string
	for other, list := range byNode {
		if other != node {
			elsewhere = append(elsewhere, addressesIn(list...)...)
		}
	}
	if len(elsewhere) == 0 {
		return "", fmt.Errorf("all pods are on node %s", node)
	}
	var script strings.Builder
	own := byNode[node]
	for i, a := range own {
		l, err := state.linkOf(a)
		if err != nil {
			return "", err
		}
		targets := append(addressesIn(own[(i+1)%len(own)]), elsewhere...)
		fmt.Fprintf(&script, "nsenter --net=%s sh -c 'for t in %s; do ping -I net1 -q -c 1 -W 1 $t >/dev/null 2>&1 || echo %s to $t; done' &\n",
			l.namespace, strings.Join(targets, " "), a.Spec.Pod.Name)
	}
	script.WriteString("wait")
	return script.String(), nil
}

func addressesIn(attachments ...v1alpha1.PodNetworkAttachment) []string {
	var all []string
	for _, a := range attachments {
		for _, address := range a.Spec.Addresses {
			all = append(all, netip.MustParsePrefix(address.Address).Addr().String())
		}
	}
	return all
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
