//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// agent is the agent's pod on a node.
func (s *scene) agent(ctx context.Context, node string) (*corev1.Pod, error) {
	return s.systemPod(ctx, "multinet-agent", node)
}

// systemPod is the running pod of one of our programs, on the node if one is given.
func (s *scene) systemPod(ctx context.Context, name, node string) (*corev1.Pod, error) {
	var pods corev1.PodList
	if err := s.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{"app.kubernetes.io/name": name}); err != nil {
		return nil, err
	}
	for i, p := range pods.Items {
		if (node != "" && p.Spec.NodeName != node) || p.DeletionTimestamp != nil || len(p.Status.ContainerStatuses) == 0 {
			continue
		}
		if p.Status.ContainerStatuses[0].State.Running != nil {
			return &pods.Items[i], nil
		}
	}
	return nil, fmt.Errorf("no %s runs on %q", name, node)
}

// signal sends a signal to the first container of a pod, by its ID, without the kubelet.
func (s *scene) signal(pod *corev1.Pod, signal string) {
	s.t.Helper()
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	_, err := s.OnNode(s.ctx, pod.Spec.NodeName, "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", signal, id)
	s.must(err)
}

// killAgent sends SIGKILL. The kubelet starts it again, the first time at once.
func (s *scene) killAgent(node string) {
	s.t.Helper()
	agent, err := s.agent(s.ctx, node)
	s.must(err)
	s.signal(agent, "SIGKILL")
}

// freshAgent replaces the agent's pod, so that the kubelet's penalty for crashes does not add up over tests.
func (s *scene) freshAgent(node string) {
	s.t.Helper()
	agent, err := s.agent(s.ctx, node)
	if err != nil {
		s.until(time.Minute, "the agent to be back", func(ctx context.Context) error {
			agent, err = s.agent(ctx, node)
			return err
		})
	}
	s.must(s.Delete(s.ctx, agent))
	s.until(time.Minute, "a fresh agent on "+node, func(ctx context.Context) error {
		fresh, err := s.agent(ctx, node)
		if err == nil && fresh.UID == agent.UID {
			err = fmt.Errorf("the old one is still there")
		}
		return err
	})
}

// banishAgent removes the agent from a node until readmitAgent.
func (s *scene) banishAgent(node string) {
	s.t.Helper()
	s.label(node, absentLabel, "true")
	s.t.Cleanup(func() { s.label(node, absentLabel, "") })
	s.until(time.Minute, "the agent to leave "+node, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := s.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "multinet-agent"}); err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.Spec.NodeName == node {
				return fmt.Errorf("it is still there")
			}
		}
		return nil
	})
}

func (s *scene) readmitAgent(node string) {
	s.t.Helper()
	s.label(node, absentLabel, "")
	s.until(time.Minute, "the agent to be back on "+node, func(ctx context.Context) error {
		_, err := s.agent(ctx, node)
		return err
	})
}

// label gives a label to a node, or takes it away where value is empty.
func (s *scene) label(node, key, value string) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{key: nil}}})
	if value != "" {
		patch, err = json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{key: value}}})
	}
	s.must(err)
	s.must(s.Patch(s.ctx, &corev1.Node{ObjectMeta: named(node)}, client.RawPatch(types.MergePatchType, patch)))
}

// restart restarts a service of a node.
func (s *scene) restart(node, service string) {
	s.t.Helper()
	_, err := s.OnNode(s.ctx, node, "systemctl", "restart", service)
	s.must(err)
}

// gateCNI holds every new sandbox of a node between Prepare, which is over before CNI, and the agent's hook, which
// comes after it. The returned function opens the gate.
func (s *scene) gateCNI(node string) (open func()) {
	s.t.Helper()
	const install = `set -e
cd /opt/cni/bin
touch /run/e2e-cni-gate
[ -e e2e-real-bridge ] || {
	cp -p bridge e2e-real-bridge
	printf '%s\n' '#!/bin/sh' 'while [ "$CNI_COMMAND" = ADD ] && [ -e /run/e2e-cni-gate ]; do sleep 0.05; done' 'exec /opt/cni/bin/e2e-real-bridge' >e2e-gate
	chmod 755 e2e-gate
	mv e2e-gate bridge
}`
	const remove = `rm -f /run/e2e-cni-gate; cd /opt/cni/bin; [ ! -e e2e-real-bridge ] || mv e2e-real-bridge bridge`
	_, err := s.OnNode(s.ctx, node, "sh", "-c", install)
	s.must(err)
	s.t.Cleanup(func() {
		if _, err := s.OnNode(s.ctx, node, "sh", "-c", remove); err != nil {
			s.t.Errorf("removing the gate: %v", err)
		}
	})
	return func() {
		s.t.Helper()
		_, err := s.OnNode(s.ctx, node, "rm", "-f", "/run/e2e-cni-gate")
		s.must(err)
	}
}

// waitPrepared waits until the ledger of the node has the pod's plan.
func (s *scene) waitPrepared(pod *corev1.Pod, node string) {
	s.t.Helper()
	s.until(time.Minute, "the plan of pod "+pod.Name, func(ctx context.Context) error {
		_, err := s.OnNode(ctx, node, "test", "-e", "/var/lib/multinet/pods/"+string(pod.UID)+".json")
		return err
	})
}

// waitAttachments waits until the namespace has n attachments that the predicate accepts.
func (s *scene) waitAttachments(n int, what string, accept func(v1alpha1.PodNetworkAttachment) bool) {
	s.t.Helper()
	s.until(time.Minute, what, func(ctx context.Context) error {
		var list v1alpha1.PodNetworkAttachmentList
		if err := s.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		found := 0
		for _, a := range list.Items {
			if accept(a) {
				found++
			}
		}
		if found < n {
			return fmt.Errorf("there are %d of %d", found, n)
		}
		return nil
	})
}
