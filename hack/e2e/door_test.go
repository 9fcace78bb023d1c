//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/demo/cluster"
)

// Tests of node A follow each other, as those of node B do, and run beside them.
func TestFaultsOfTheFirstNode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"AgentAbsentForTwoMinutes", agentAbsentForTwoMinutes},
		{"CNIDoor", cniDoor},
	} {
		t.Run(test.name, test.run)
	}
}

// cniDoor: a node of cniNodes gets its networks through the chain of its CNI configuration, loses its agent at bad moments, and
// goes back to NRI. containerd offers NRI all the time, and the agent must not take it.
func cniDoor(t *testing.T) {
	s := newScene(t, nodeA)
	s.network("door", networkSpec("eth1"))
	before := s.networkConfiguration(nodeA)
	back := s.useCNI(nodeA)

	s.createCNI("chained", "door")
	s.create("neighbour", nodeB, "door")
	s.waitReady(time.Minute, "chained", "neighbour")
	s.cameThrough("chained", "CNI")
	s.reaches("chained", "neighbour")
	s.reaches("neighbour", "chained")
	s.agentAwayOfDoor()
	s.runtimeWithoutNRI()
	s.setOnDoor()
	s.churn(nodeA, s.createCNI)

	containers := s.containers([]string{"held"})
	back()
	s.until(30*time.Second, "the node's network configuration to be what it was", func(context.Context) error {
		if now := s.networkConfiguration(nodeA); now != before {
			return fmt.Errorf("it was\n%s\nand is\n%s", before, now)
		}
		return nil
	})
	s.create("after", nodeA, "door")
	s.waitReady(time.Minute, "held", "after")
	s.cameThrough("after", "NRI")
	s.sameContainers(containers)
	s.reaches("held", "after")
	s.takeOut(nodeA)
	s.remove(false, "held", "after", "neighbour")
	s.waitGone(time.Minute, "held", "after", "neighbour")
}

// agentAwayOfDoor: while no agent answers, ADD refuses a pod that was prepared, and passes one that selects nothing; DEL is noted.
func (s *scene) agentAwayOfDoor() {
	s.t.Helper()
	chained, err := s.get(s.ctx, "chained")
	s.must(err)
	sandbox := s.sandboxOf(chained)
	open := s.gateCNI(nodeA)
	held := s.createCNI("held", "door")
	s.waitPrepared(held, nodeA)
	s.banishAgent(nodeA)
	open()
	s.create("plain", nodeA, "")
	s.waitReady(time.Minute, "plain")
	s.waitEventWith("held", "FailedCreatePodSandBox", `plugin type="multinet-cni" failed (add): the node agent of Multinet does not answer`)
	s.notReady("held")

	s.remove(false, "chained")
	s.until(time.Minute, "the end of the sandbox to be noted for the agent", func(ctx context.Context) error {
		_, err := s.OnNode(ctx, nodeA, "test", "-e", "/var/lib/multinet/cni/deleted/"+sandbox+"@eth0")
		return err
	})
	if list := s.attachments("chained"); len(list) != 1 {
		s.t.Errorf("%d attachments of a pod hold its addresses while nobody can say that they are free", len(list))
	}
	s.readmitAgent(nodeA)
	s.waitReady(2*time.Minute, "held")
	s.cameThrough("held", "CNI")
	s.waitGone(time.Minute, "chained")
	s.remove(false, "plain")
	s.waitGone(time.Minute, "plain")
}

// runtimeWithoutNRI: pods as users write them get their networks where the runtime knows nothing of NRI.
func (s *scene) runtimeWithoutNRI() {
	s.t.Helper()
	const (
		off = `sed -i 's/^  \[plugins."io.containerd.nri.v1.nri"\]$/&\n    disable = true/' /etc/containerd/config.toml`
		on  = `sed -i '/^    disable = true$/d' /etc/containerd/config.toml`
	)
	configure := func(command string) {
		s.t.Helper()
		_, err := s.OnNode(s.ctx, nodeA, "sh", "-c", command)
		s.must(err)
		s.restart(nodeA, "containerd")
	}
	s.t.Cleanup(func() { configure(on) })
	configure(off)
	s.create("usual", nodeA, "door")
	s.waitReady(2*time.Minute, "usual")
	if out, err := s.OnNode(s.ctx, nodeA, "sh", "-c", `containerd config dump | grep -A 1 '^ *.plugins.*io.containerd.nri.v1.nri.*$'`); err != nil || !strings.Contains(out, "disable = true") {
		s.t.Errorf("the runtime offers NRI, nothing is tested here: %v: %s", err, out)
	}
	s.cameThrough("usual", "CNI")
	s.reaches("usual", "neighbour")
	s.remove(false, "usual")
	s.waitGone(time.Minute, "usual")
	configure(on)
}

// useCNI names the node in cniNodes and starts its agent anew. The DaemonSet has the folders since the start of the suite. back
// is the reverse; it is called at the end of the test in any case.
func (s *scene) useCNI(node string) (back func()) {
	s.t.Helper()
	var config corev1.ConfigMap
	s.must(s.Get(s.ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: "multinet-agent"}, &config))
	const file = "config.yaml"
	was := config.Data[file]
	set := func(text string) {
		s.t.Helper()
		patch, err := json.Marshal(map[string]any{"data": map[string]string{file: text}})
		s.must(err)
		s.must(s.Patch(s.ctx, &config, client.RawPatch(types.MergePatchType, patch)))
		s.freshAgent(node)
	}
	over := false
	back = func() {
		s.t.Helper()
		if !over {
			over = true
			set(was)
		}
	}
	s.t.Cleanup(back)
	set(was + "cniNodes: [" + node + "]\n")
	s.until(time.Minute, "the plugin to be in the chain", func(context.Context) error {
		if text := s.networkConfiguration(node); !strings.Contains(text, `"type":"multinet-cni"`) {
			return fmt.Errorf("the configuration is %s", text)
		}
		return nil
	})
	return back
}

// createCNI creates a pod on node A while that is reached over CNI. Admission asks for the NRI plugin, by an annotation that a
// runtime without NRI does not know; the one of this cluster does, and would refuse the containers.
func (s *scene) createCNI(name, selection string) *corev1.Pod {
	s.t.Helper()
	pod := s.podOverCNI(name, selection)
	s.must(s.Create(s.ctx, pod))
	return pod
}

func (s *scene) podOverCNI(name, selection string) *corev1.Pod {
	pod := s.pod(name, nodeA, selection)
	pod.Annotations["required-plugins.noderesource.dev"] = "[]"
	return pod
}

// networkConfiguration is the whole folder that the runtime reads, names and bytes.
func (s *scene) networkConfiguration(node string) string {
	s.t.Helper()
	text, err := s.OnNode(s.ctx, node, "sh", "-c", `cd /etc/cni/net.d && for f in *; do echo "== $f"; cat "$f"; done`)
	s.must(err)
	return text
}

// cameThrough tells by which door a pod got its networks: only NRI gives a container the file that describes them, and only
// CNI knows the name of the network configuration.
func (s *scene) cameThrough(name, door string) {
	s.t.Helper()
	pod, err := s.get(s.ctx, name)
	s.must(err)
	record, err := s.OnNode(s.ctx, pod.Spec.NodeName, "cat", "/run/multinet/sandboxes/"+s.sandboxOf(pod)+".json")
	s.must(err)
	_, err = s.InPod(s.ctx, pod, "test", "-e", "/run/multinet/networks.json")
	overCNI, file := strings.Contains(record, `"network":`), err == nil
	if overCNI != (door == "CNI") || file != (door == "NRI") {
		s.t.Errorf("pod %s did not come through %s alone: its sandbox is %s, networks.json is in its container: %v", name, door, record, file)
	}
}

// sandboxOf is the runtime's ID of the one sandbox of a pod that the agent has recorded.
func (s *scene) sandboxOf(pod *corev1.Pod) string {
	s.t.Helper()
	out, err := s.OnNode(s.ctx, pod.Spec.NodeName, "grep", "-l", string(pod.UID), "-r", "/run/multinet/sandboxes")
	s.must(err)
	files := strings.Fields(out)
	if len(files) != 1 {
		s.t.Fatalf("pod %s has %d sandboxes: %v", pod.Name, len(files), files)
	}
	return strings.TrimSuffix(filepath.Base(files[0]), ".json")
}

// takeOut removes the plugin's program, which stays while sandboxes may need it.
func (s *scene) takeOut(node string) {
	s.t.Helper()
	agent, err := s.agent(s.ctx, node)
	s.must(err)
	const program = "/opt/cni/bin/multinet-cni"
	_, there := s.OnNode(s.ctx, node, "test", "-e", program)
	_, taken := s.InPod(s.ctx, agent, "/usr/local/bin/multinet-agent", "-take-out-cni")
	_, still := s.OnNode(s.ctx, node, "test", "-e", program)
	if there != nil || taken != nil || still == nil {
		s.t.Errorf("the plugin's program was there: %v; taken out: %v; is still there: %v", there == nil, errors.Join(there, taken), still == nil)
	}
}
