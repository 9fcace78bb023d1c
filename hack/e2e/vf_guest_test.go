//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/demo/cluster"
)

// cards of the virtual machine, named pf0 and so on, are all on one wire.
const cards = 2

// startVM adds the node whose network cards have virtual functions, for the time of one test: it costs others their CPU.
func startVM(t *testing.T) string {
	t.Helper()
	node, err := tool.StartVMNode(t.Context(), cards)
	if err != nil {
		t.Fatal(err)
	}
	multi.VM = node
	t.Cleanup(func() {
		multi.VM = nil
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	return node.Name
}

// dumpVM says what the kubelet cannot: kubectl logs don't work for that node.
func (s *scene) dumpVM(node string) {
	if !s.t.Failed() {
		return
	}
	const logs = `for log in /var/log/pods/multinet-system_*/*/*.log /control/kubelet.log /control/containerd.log; do
	echo "== $log"; tail -n 30 "$log"; done; ip -br link; ip -d link show pf0; dmesg | tail -n 15`
	out, err := s.OnNode(s.ctx, node, "sh", "-c", logs)
	s.t.Logf("node %s (%v):\n%s", node, err, out)
}

// virtualFunction is what the machine has of one.
type virtualFunction struct {
	PF, Index, Driver string
	// Settings are what its PF says about it.
	Settings string
	Link     string
	MAC      string
	Up       bool
	OnNode   bool
	// inside is where the link is, for those that are not on the node.
	inside link
}

const inspectVFs = `
for pf in /sys/class/net/pf*; do
	ip -j link show "${pf##*/}" | tr -d '\n' | sed "s/^/pf ${pf##*/} /"
	echo
	for vf in "$pf"/device/virtfn*; do
		[ ! -e "$vf" ] || echo "vf $(basename "$(readlink "$vf")") ${pf##*/} ${vf##*virtfn} $(basename "$(readlink "$vf/driver")")"
	done
done
echo "node $(stat -Lc %i /proc/1/ns/net)"
stat -Lc '%i %n' /run/netns/* /proc/[0-9]*/ns/net 2>/dev/null | sort -s -u -k1,1 | while read -r inode path; do
	echo "links $inode $path $(nsenter --net=$path ip -j -d address show 2>/dev/null | tr -d '\n')"
done`

// vfLink is a link that knows its device.
type vfLink struct {
	link
	Device string   `json:"parentdev"`
	Flags  []string `json:"flags"`
}

// virtualFunctions are those of all cards, by PCI address.
func (s *scene) virtualFunctions(ctx context.Context, node string) (map[string]virtualFunction, error) {
	out, err := s.OnNode(ctx, node, "bash", "-c", inspectVFs)
	if err != nil {
		return nil, err
	}
	all, settings, own := map[string]virtualFunction{}, map[string]string{}, ""
	for line := range strings.Lines(out) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "pf":
			err = readSettings(settings, rest)
		case "vf":
			word := strings.Fields(rest)
			all[word[0]] = virtualFunction{PF: word[1], Index: word[2], Driver: word[3], Settings: settings[word[1]+" "+word[2]]}
		case "node":
			own = rest
		case "links":
			err = readVFLinks(all, rest, own)
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w in %q", node, err, line)
		}
	}
	return all, nil
}

// readSettings reads "PF JSON", by PF and number of the VF.
func readSettings(settings map[string]string, line string) error {
	pf, text, _ := strings.Cut(line, " ")
	var links []struct {
		VFs []map[string]any `json:"vfinfo_list"`
	}
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return err
	}
	for _, vf := range links[0].VFs {
		text, err := json.Marshal(vf)
		if err != nil {
			return err
		}
		settings[fmt.Sprint(pf, " ", vf["vf"])] = string(text)
	}
	return nil
}

// readVFLinks reads "INODE PATH JSON" and puts the links into the VFs that they are of.
func readVFLinks(all map[string]virtualFunction, line, own string) error {
	inode, rest, _ := strings.Cut(line, " ")
	path, text, _ := strings.Cut(rest, " ")
	if strings.TrimSpace(text) == "" {
		return nil // the namespace has just ended
	}
	var links []vfLink
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return err
	}
	for _, l := range links {
		vf, found := all[l.Device]
		if !found {
			continue
		}
		vf.Link, vf.MAC, vf.Up, vf.OnNode = l.Name, l.MAC, slices.Contains(l.Flags, "UP"), inode == own
		if !vf.OnNode {
			vf.inside = l.link
			vf.inside.namespace = path
		}
		all[l.Device] = vf
	}
	return nil
}

// inContainer runs a command in a container of a pod on the virtual machine.
func (s *scene) inContainer(pod *corev1.Pod, container string, command ...string) (string, error) {
	only := pod.DeepCopy()
	only.Status.ContainerStatuses = slices.DeleteFunc(only.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name != container })
	return s.InPod(s.ctx, only, command...)
}

// tolerating lets a pod onto the virtual machine, without asking for it.
func tolerating(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: cluster.VMLabel, Operator: corev1.TolerationOpExists})
	return pod
}

// restarts of the agent's container on a node.
func (s *scene) restarts(ctx context.Context, node string) (types.UID, int32, error) {
	var pods corev1.PodList
	err := s.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "multinet-agent"})
	for _, p := range pods.Items {
		if p.Spec.NodeName == node && cluster.PodReady(&p) == nil {
			return p.UID, p.Status.ContainerStatuses[0].RestartCount, err
		}
	}
	return "", 0, fmt.Errorf("no agent is Ready on %s (%v)", node, err)
}
