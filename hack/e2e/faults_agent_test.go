//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Tests of node B follow each other, since each hurts the whole node; TestFaultsOfTheFirstNode runs beside them.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"AgentKilledBetweenPrepareAndAttach", agentKilledBetweenPrepareAndAttach},
		{"AgentKilledWhilePodsStart", agentKilledWhilePodsStart},
		{"PodsDeletedWhileAgentIsDown", podsDeletedWhileAgentIsDown},
		{"NRIConnectionLost", nriConnectionLost},
		{"KubeletRestarted", kubeletRestarted},
		{"ContainerdRestarted", containerdRestarted},
		{"OperatorKilledWhileAllocating", operatorKilledWhileAllocating},
		{"PodForceDeleted", podForceDeleted},
	} {
		t.Run(test.name, test.run)
	}
}

// agentKilledBetweenPrepareAndAttach: the plan is in the ledger, the sandbox has its hook while nobody listens, so it
// starts without the agent. The next agent has to attach it late, and until then the pod must not be Ready.
func agentKilledBetweenPrepareAndAttach(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("between", networkSpec("eth1"))
	open := s.gateCNI(nodeB)
	pod := s.create("victim", nodeB, "between")
	s.waitPrepared(pod, nodeB)
	s.killAgent(nodeB)
	open()
	s.waitReady(time.Minute, "victim")
	s.freshAgent(nodeB)
	s.assertAttached("victim")
}

func agentKilledWhilePodsStart(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("crowd", networkSpec("eth1"))
	names := s.createMany(20, "pod", nodeB, "crowd")
	s.waitAttachments(5, "5 of 20 pods to be attached", func(a v1alpha1.PodNetworkAttachment) bool {
		return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.AttachmentConditionReady)
	})
	s.killAgent(nodeB)
	s.waitReady(3*time.Minute, names...)
	s.freshAgent(nodeB)
	s.assertAttached(names...)
}

// podsDeletedWhileAgentIsDown: the kubelet stops the sandboxes, the API forgets the pods, and nobody tells the agent.
func podsDeletedWhileAgentIsDown(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("orphans", networkSpec("eth1"))
	names := s.createMany(3, "pod", nodeB, "orphans")
	s.waitReady(time.Minute, names...)
	s.banishAgent(nodeB)
	s.remove(true, names[:2]...)
	s.remove(false, names[2])
	s.waitGone(30*time.Second, names[:2]...)
	s.until(30*time.Second, "the sandboxes to be gone", func(ctx context.Context) error {
		state, err := s.inspectNode(ctx, nodeB)
		if err != nil {
			return err
		}
		for _, l := range state.links {
			for _, a := range s.attachmentsOf("orphans") {
				if a.Spec.MAC == l.MAC {
					return fmt.Errorf("link %s of %s is still there", l.Name, a.Name)
				}
			}
		}
		return nil
	})
	if held := len(s.attachmentsOf("orphans")); held != 3 {
		t.Errorf("%d of 3 attachments hold their addresses while nobody can say that they are free", held)
	}
	s.readmitAgent(nodeB)
	s.waitGone(time.Minute, names...)
}

// agentAbsent: the longest of all, on the other node.
func agentAbsentForTwoMinutes(t *testing.T) {
	s := newScene(t, nodeA)
	s.network("absence", networkSpec("eth1"))
	s.createMany(2, "before", nodeA, "absence")
	s.waitReady(time.Minute, "before-0", "before-1")
	s.banishAgent(nodeA)
	// One that the scheduler still places here, one that is deleted before the agent is back, and two old ones that go.
	s.create("early", nodeA, "absence")
	s.create("short", nodeA, "absence")
	s.remove(false, "before-0", "before-1")
	gone := time.NewTimer(2 * time.Minute)
	s.until(time.Minute, "the node to offer no device", s.noDevices(nodeA))
	s.create("late", nodeA, "absence")
	s.remove(false, "short")
	s.create("plain", nodeA, "")
	s.waitReady(time.Minute, "plain")
	<-gone.C
	s.notReady("early")
	s.notReady("late")
	s.readmitAgent(nodeA)
	s.waitReady(2*time.Minute, "early", "late")
	s.waitGone(time.Minute, "before-0", "before-1", "short")
}
