//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// nriConnectionLost: containerd drops a plugin whose hook takes longer than two seconds, so the agent is stopped
// while a pod without networks starts; and without the socket's file it cannot come back. Its DRA socket works.
func nriConnectionLost(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("dropped", networkSpec("eth1"))
	agent, err := s.agent(s.ctx, nodeB)
	s.must(err)
	_, err = s.OnNode(s.ctx, nodeB, "mv", "/var/run/nri/nri.sock", "/var/run/nri/away")
	s.must(err)
	t.Cleanup(func() { // also after a failure: the node is for all tests
		_, _ = s.OnNode(s.ctx, nodeB, "sh", "-c", "[ ! -e /var/run/nri/away ] || mv /var/run/nri/away /var/run/nri/nri.sock")
	})
	s.signal(agent, "SIGSTOP")
	s.create("plain", nodeB, "")
	s.waitReady(30*time.Second, "plain")
	s.signal(agent, "SIGCONT")

	pod := s.create("held", nodeB, "dropped")
	s.waitAttachments(1, "the pod's attachment", func(v1alpha1.PodNetworkAttachment) bool { return true })
	s.staysUnattached(pod.Name, 8*time.Second)
	_, err = s.OnNode(s.ctx, nodeB, "mv", "/var/run/nri/away", "/var/run/nri/nri.sock")
	s.must(err)
	s.waitReady(40*time.Second, "held")
	if now, err := s.agent(s.ctx, nodeB); err != nil || now.Status.ContainerStatuses[0].RestartCount != agent.Status.ContainerStatuses[0].RestartCount {
		t.Errorf("the agent was restarted, this test shows nothing (%v)", err)
	}
}

// staysUnattached watches that a pod does not start for a while. It is the one wait for nothing.
func (s *scene) staysUnattached(name string, period time.Duration) {
	s.t.Helper()
	end := time.Now().Add(period)
	s.until(2*period, "pod "+name+" to be held", func(context.Context) error {
		s.notReady(name)
		if left := time.Until(end); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
}

func kubeletRestarted(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("kubelet", networkSpec("eth1"))
	names := s.createMany(3, "before", nodeB, "kubelet")
	s.waitAttachments(1, "the first attachment", func(v1alpha1.PodNetworkAttachment) bool { return true })
	s.restart(nodeB, "kubelet")
	names = append(names, s.createMany(2, "after", nodeB, "kubelet")...)
	s.waitReady(90*time.Second, names...)
	containers := s.containers(names)
	s.restart(nodeB, "kubelet")
	s.create("fresh", nodeB, "kubelet")
	s.waitReady(90*time.Second, "fresh")
	s.sameContainers(containers)
}

func containerdRestarted(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("runtime", networkSpec("eth1"))
	names := s.createMany(2, "before", nodeB, "runtime")
	s.waitReady(time.Minute, names...)
	containers := s.containers(names)
	during := s.createMany(4, "during", nodeB, "runtime")
	s.waitAttachments(3, "a pod to be planned", func(v1alpha1.PodNetworkAttachment) bool { return true })
	s.restart(nodeB, "containerd")
	s.waitReady(2*time.Minute, append(names, during...)...)
	s.sameContainers(containers)
}

func operatorKilledWhileAllocating(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("allocated", networkSpec("eth1"))
	names := s.createMany(20, "pod", nodeB, "allocated")
	s.waitAttachments(3, "the first allocations", func(v1alpha1.PodNetworkAttachment) bool { return true })
	operator, err := s.systemPod(s.ctx, "multinet-operator", "")
	s.must(err)
	s.signal(operator, "SIGKILL")
	s.waitReady(3*time.Minute, names...)
	w, err := s.world(s.ctx)
	s.must(err)
	s.must(w.duplicates())
}

// podForceDeleted: the name is taken again while the old sandbox still runs.
func podForceDeleted(t *testing.T) {
	s := newScene(t, nodeB)
	s.network("forced", networkSpec("eth1"))
	s.create("again", nodeB, "forced")
	s.waitReady(time.Minute, "again")
	old := s.attachments("again")["net1"]
	s.remove(true, "again")
	s.create("again", nodeB, "forced")
	s.waitReady(time.Minute, "again")
	pod, err := s.get(s.ctx, "again")
	s.must(err)
	for _, a := range s.attachmentsOf("forced") {
		if a.Spec.Pod.UID == pod.UID && a.Spec.Addresses[0] == old.Spec.Addresses[0] {
			t.Errorf("the new pod has the address %v of the old one, which had no time to rest", old.Spec.Addresses[0])
		}
	}
	s.until(time.Minute, "the old attachment to be released", func(context.Context) error {
		if held := s.attachmentsOf("forced"); len(held) != 1 {
			return fmt.Errorf("there are %d", len(held))
		}
		return nil
	})
}

// containers are the container IDs of running pods, by pod name.
func (s *scene) containers(names []string) map[string]string {
	s.t.Helper()
	ids := map[string]string{}
	for _, name := range names {
		pod, err := s.get(s.ctx, name)
		s.must(err)
		ids[name] = pod.Status.ContainerStatuses[0].ContainerID
	}
	return ids
}

func (s *scene) sameContainers(before map[string]string) {
	s.t.Helper()
	for name, id := range before {
		if now := s.containers([]string{name})[name]; now != id {
			s.t.Errorf("pod %s was touched: container %s became %s", name, id, now)
		}
	}
}

// noDevices is nil when no ResourceSlice of ours offers anything on the node.
func (s *scene) noDevices(node string) func(context.Context) error {
	return func(ctx context.Context) error {
		var slices resourceapi.ResourceSliceList
		if err := s.List(ctx, &slices); err != nil {
			return err
		}
		for _, slice := range slices.Items {
			if slice.Spec.Driver == v1alpha1.DriverName && slice.Spec.NodeName != nil && *slice.Spec.NodeName == node && len(slice.Spec.Devices) > 0 {
				return fmt.Errorf("ResourceSlice %s offers %d", slice.Name, len(slice.Spec.Devices))
			}
		}
		return nil
	}
}
