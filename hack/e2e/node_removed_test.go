//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// nodeRemoved: a node stops, is deleted with its pods, and comes back as if it were new. Its addresses are released
// without its agent, and the others forget it.
func nodeRemoved(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("shrinking", overlaySpec())
	s.create("victim", nodeD, "shrinking")
	s.create("peer", nodeC, "shrinking")
	s.waitReady(time.Minute, "victim", "peer")
	s.reaches("peer", "victim")
	s.stopNode(nodeD)
	s.must(s.Delete(s.ctx, &corev1.Node{ObjectMeta: named(nodeD)}))
	s.deletePodsOf(nodeD)
	s.until(time.Minute, "the attachment of the node that is gone to be released", func(context.Context) error {
		if held := s.attachmentsOf("shrinking"); len(held) != 1 {
			return fmt.Errorf("there are %d", len(held))
		}
		return nil
	})
	s.waitRack("shrinking", "b", "have one node", func(r *v1alpha1.RackStatus) bool { return r != nil && r.Nodes == 1 && r.Attachments == 1 })
	s.until(20*time.Second, "the other node to forget it", func(ctx context.Context) error {
		w, err := s.world(ctx)
		if err != nil {
			return err
		}
		state, err := s.inspectNode(ctx, nodeC)
		if err != nil {
			return err
		}
		return w.overlaysDiffer(nodeC, state)
	})

	s.startNode(nodeD)
	s.waitRack("shrinking", "b", "have two nodes", func(r *v1alpha1.RackStatus) bool { return r != nil && r.Nodes == 2 })
	s.create("again", nodeD, "shrinking")
	s.waitReady(time.Minute, "again")
	s.reaches("peer", "again")
	s.reaches("again", "peer")
}

// deletePodsOf deletes all pods of a node that is gone, as an admin does who does not want to wait for the garbage collector.
func (s *scene) deletePodsOf(node string) {
	s.t.Helper()
	var pods corev1.PodList
	s.must(s.List(s.ctx, &pods, client.MatchingFields{"spec.nodeName": node}))
	for i := range pods.Items {
		s.must(client.IgnoreNotFound(s.Delete(s.ctx, &pods.Items[i], client.GracePeriodSeconds(0))))
	}
}

// stopNode halts all of a node at once, as a loss of power would; startNode lets it go on, as a node that registers anew.
func (s *scene) stopNode(node string) {
	s.t.Helper()
	s.must(s.Pause(s.ctx, node))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.startNode(node)
		}
	})
}

func (s *scene) startNode(node string) {
	s.t.Helper()
	s.must(s.Unpause(s.ctx, node))
	s.restart(node, "kubelet")
	s.until(time.Minute, "node "+node+" to be Ready", func(ctx context.Context) error {
		var object corev1.Node
		if err := s.Get(ctx, client.ObjectKey{Name: node}, &object); err != nil {
			return err
		}
		for _, c := range object.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", object.Status.Conditions)
	})
	// Labels that the kubelet does not give are gone with the old object.
	s.label(node, v1alpha1.DefaultTopologyKey, "b")
	s.until(time.Minute, "an agent on "+node, func(ctx context.Context) error {
		_, err := s.agent(ctx, node)
		return err
	})
}
