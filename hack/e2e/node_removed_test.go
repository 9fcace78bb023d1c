//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	start := s.removeNode(nodeD)
	s.until(time.Minute, "the attachment of the node that is gone to be released", func(context.Context) error {
		if held := s.attachmentsOf("shrinking"); len(held) != 1 {
			return fmt.Errorf("there are %d", len(held))
		}
		return nil
	})
	s.waitRack("shrinking", "b", "have one node", func(r *v1alpha1.RackStatus) bool { return r != nil && r.Nodes == 1 && r.Attachments == 1 })
	s.until(time.Minute, "the other node to forget it", func(ctx context.Context) error {
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

	start()
	s.waitRack("shrinking", "b", "have two nodes", func(r *v1alpha1.RackStatus) bool { return r != nil && r.Nodes == 2 })
	s.create("again", nodeD, "shrinking")
	s.waitReady(time.Minute, "again")
	s.reaches("peer", "again")
	s.reaches("again", "peer")
}

// stopNode ends the kubelet and all containers of a node at once, as a loss of power would. Docker's container goes on, since
// it might have its addresses in another order when it is started again. kube-proxy's table goes, as kube-proxy writes no
// addresses of services into one that it finds; what the agent has made stays.
const stopNode = `
systemctl stop kubelet
for task in $(ctr --namespace k8s.io tasks list --quiet); do ctr --namespace k8s.io tasks kill --signal SIGKILL $task; done
while ctr --namespace k8s.io tasks list | grep -q RUNNING; do sleep 0.1; done
! nft list tables | grep -q '^table ip kube-proxy$' || nft delete table ip kube-proxy`

// removeNode stops a node and deletes it with its pods, as an admin does who does not want to wait for the garbage
// collector. The returned function lets it come back.
func (s *scene) removeNode(name string) (start func()) {
	s.t.Helper()
	var node corev1.Node
	s.must(s.Get(s.ctx, client.ObjectKey{Name: name}, &node))
	_, err := s.OnNode(s.ctx, name, "sh", "-c", stopNode)
	s.must(err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.startNode(&node)
		}
	})
	s.must(s.Delete(s.ctx, &corev1.Node{ObjectMeta: named(name)}))
	var pods corev1.PodList
	s.must(s.List(s.ctx, &pods, client.MatchingFields{"spec.nodeName": name}))
	for i := range pods.Items {
		s.must(client.IgnoreNotFound(s.Delete(s.ctx, &pods.Items[i], client.GracePeriodSeconds(0))))
	}
	return func() {
		s.t.Helper()
		s.startNode(&node)
	}
}

// startNode starts the kubelet of a node, which registers anew. Of the old node it has its labels, as whoever provides nodes
// would give them to it again, and the pods' prefix, which the bridge of the pod network still has.
func (s *scene) startNode(old *corev1.Node) {
	s.t.Helper()
	err := s.Create(s.ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: old.Name, Labels: old.Labels},
		Spec:       corev1.NodeSpec{PodCIDR: old.Spec.PodCIDR, PodCIDRs: old.Spec.PodCIDRs},
	})
	if !apierrors.IsAlreadyExists(err) {
		s.must(err)
	}
	s.restart(old.Name, "kubelet")
	s.until(time.Minute, "node "+old.Name+" to be Ready", func(ctx context.Context) error {
		var node corev1.Node
		if err := s.Get(ctx, client.ObjectKeyFromObject(old), &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", node.Status.Conditions)
	})
	s.until(time.Minute, "an agent on "+old.Name, func(ctx context.Context) error {
		_, err := s.agent(ctx, old.Name)
		return err
	})
}
