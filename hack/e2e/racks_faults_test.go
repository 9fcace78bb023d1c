//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Tests of rack b, which is nodes C and D, follow each other. They run beside those of nodes A and B.
func TestRackFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"NodeMovesToAnotherRack", nodeMovesToAnotherRack},
		{"RackEmptiedAndRefilled", rackEmptiedAndRefilled},
		{"AgentKilledWhilePodsStartOnOverlay", agentKilledWhilePodsStartOnOverlay},
		{"ForgedVXLANIsDropped", forgedVXLANIsDropped},
		{"NothingUnknownLeavesTheNode", nothingUnknownLeavesTheNode},
		{"NodeRemoved", nodeRemoved},
	} {
		t.Run(test.name, test.run)
	}
}

// nodeMovesToAnotherRack: what runs there goes on in the old rack, what comes is in the new one.
func nodeMovesToAnotherRack(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("moving", overlaySpec())
	s.create("stays", nodeD, "moving")
	s.create("peer", nodeC, "moving")
	s.waitReady(time.Minute, "stays", "peer")
	before := s.attachments("stays")["net1"]
	containers := s.containers([]string{"stays", "peer"})
	s.inRack("stays", s.waitRack("moving", "b", "be in use", inUse))
	s.reaches("peer", "stays")

	s.relabel(nodeD, v1alpha1.DefaultTopologyKey, "moved", "b")
	moved := s.waitRack("moving", "moved", "be in use", inUse)
	if text := s.waitNodeMoved("moving", metav1.ConditionTrue); !strings.Contains(text, "stays") || strings.Contains(text, "peer") {
		t.Errorf("the condition names other attachments than that of the node that moved: %s", text)
	}
	s.create("fresh", nodeD, "moving")
	s.waitReady(time.Minute, "fresh")
	s.inRack("fresh", moved)
	s.reaches("peer", "stays")
	s.reaches("stays", "peer")
	s.reachesNot("peer", "fresh")
	s.reachesNot("fresh", "stays")
	if now := s.attachments("stays")["net1"]; now.UID != before.UID || !now.DeletionTimestamp.IsZero() {
		t.Errorf("the attachment of a running pod was touched: %v", now.ObjectMeta)
	}
	s.sameContainers(containers)

	s.remove(false, "stays")
	s.waitNodeMoved("moving", metav1.ConditionFalse)
}

// waitNodeMoved waits until the condition NodeMoved is there and True, or is not, and returns its message.
func (s *scene) waitNodeMoved(name string, status metav1.ConditionStatus) string {
	s.t.Helper()
	return s.waitNetworkCondition(name, v1alpha1.NetworkConditionNodeMoved, status)
}

// waitNetworkCondition takes a condition that is not there for False.
func (s *scene) waitNetworkCondition(name, kind string, status metav1.ConditionStatus) string {
	s.t.Helper()
	var message string
	s.until(30*time.Second, fmt.Sprintf("Network %s to have %s=%s", name, kind, status), func(ctx context.Context) error {
		var network v1alpha1.Network
		if err := s.Get(ctx, client.ObjectKey{Name: name}, &network); err != nil {
			return err
		}
		found := meta.FindStatusCondition(network.Status.Conditions, kind)
		if found == nil {
			found = &metav1.Condition{Status: metav1.ConditionFalse}
		}
		message = found.Message
		if found.Status != status {
			return fmt.Errorf("its conditions are %v", network.Status.Conditions)
		}
		return nil
	})
	return message
}

// rackEmptiedAndRefilled: the Network has prefixes for two racks. The prefix of a rack that is empty waits for it, and is
// given to another rack after the quarantine.
func rackEmptiedAndRefilled(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	const key = corev1.LabelTopologyZone
	s.relabel(nodeC, key, "one", "")
	s.relabel(nodeD, key, "two", "")
	spec := rackUplinkSpec()
	spec.RackLocal.TopologyKey = key
	spec.IPAM.Ranges[0].CIDR = strings.TrimSuffix(spec.IPAM.Ranges[0].CIDR, "24") + "25"
	spec.IPAM.Quarantine = &metav1.Duration{Duration: 15 * time.Second}
	s.network("scarce", spec)
	one, two := s.waitRack("scarce", "one", "be in use", inUse), s.waitRack("scarce", "two", "be in use", inUse)

	s.label(nodeD, key, "")
	s.waitRack("scarce", "two", "be empty", empty)
	s.label(nodeD, key, "two")
	if again := s.waitRack("scarce", "two", "be in use again", inUse); !slices.Equal(again.Prefixes, two.Prefixes) {
		t.Errorf("the rack came back with prefixes %v, and had %v", again.Prefixes, two.Prefixes)
	}

	s.label(nodeD, key, "three")
	s.waitRack("scarce", "two", "be empty", empty)
	if text := s.waitNetworkCondition("scarce", v1alpha1.NetworkConditionRacksServed, metav1.ConditionFalse); !strings.Contains(text, "three") {
		t.Errorf("the condition does not name the rack without prefix: %s", text)
	}
	s.create("early", nodeD, "scarce")
	s.waitCondition("early", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonRackNotServed)
	s.create("other", nodeC, "scarce")
	s.waitReady(time.Minute, "early", "other")
	three := s.waitRack("scarce", "three", "be in use", inUse)
	if three.Prefixes[0] != two.Prefixes[0] {
		t.Errorf("the third rack has %s and not %s, the only one that was free", three.Prefixes[0], two.Prefixes[0])
	}
	s.inRack("early", three)
	s.inRack("other", one)
	s.waitRack("scarce", "two", "be gone", absent)
	s.waitNetworkCondition("scarce", v1alpha1.NetworkConditionRacksServed, metav1.ConditionTrue)
}
