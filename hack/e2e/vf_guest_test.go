//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
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
	// Settings are what its PF says about it but for the MAC, which an unused VF has there or not: igb forgets it with the
	// administrator's.
	Settings string
	Link     string
	MAC      string
	Up       bool
	OnNode   bool
	// admin is the MAC that its PF has for it, vlan the tag.
	admin string
	vlan  int32
	// inside is where the link is, for those that are not on the node.
	inside link
}

// guest is what the machine has of all VFs, by PCI address, and of the environments and VFIO groups of containers, by
// their IDs.
type guest struct {
	vfs         map[string]virtualFunction
	environment map[string][]string
	groups      map[string]string
}

// Everything in one command: processes are slow to start there.
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
done
ctr --namespace k8s.io tasks ls | while read -r id pid status; do
	[ "$status" = RUNNING ] || continue
	echo "groups $id $(ls "/proc/$pid/root/dev/vfio" 2>/dev/null | tr '\n' ' ')"
	echo "container $id $(tr '\0' '\t' 2>/dev/null <"/proc/$pid/environ")"
done`

// vfLink is a link that knows its device.
type vfLink struct {
	link
	Device string   `json:"parentdev"`
	Flags  []string `json:"flags"`
}

func (s *scene) guest(ctx context.Context, node string) (guest, error) {
	out, err := s.OnNode(ctx, node, "bash", "-c", inspectVFs)
	if err != nil {
		return guest{}, err
	}
	g, own := guest{map[string]virtualFunction{}, map[string][]string{}, map[string]string{}}, ""
	settings := map[string]setting{}
	for line := range strings.Lines(out) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "pf":
			err = readSettings(settings, rest)
		case "vf":
			word := strings.Fields(rest)
			of := settings[word[1]+" "+word[2]]
			g.vfs[word[0]] = virtualFunction{PF: word[1], Index: word[2], Driver: word[3], Settings: of.rest, admin: of.MAC, vlan: of.tag()}
		case "node":
			own = rest
		case "links":
			err = g.readLinks(rest, own)
		case "groups":
			id, groups, _ := strings.Cut(rest, " ")
			g.groups[id] = groups
		case "container":
			id, variables, _ := strings.Cut(rest, " ")
			g.environment[id] = strings.Split(variables, "\t")
		}
		if err != nil {
			return guest{}, fmt.Errorf("node %s: %w in %q", node, err, line)
		}
	}
	return g, nil
}

// setting is what a PF says about a VF.
type setting struct {
	MAC   string `json:"address"`
	VLANs []struct {
		Tag int32 `json:"vlan"`
	} `json:"vlan_list"`
	rest string
}

func (s setting) tag() int32 {
	if len(s.VLANs) == 0 {
		return 0
	}
	return s.VLANs[0].Tag
}

// readSettings reads "PF JSON", by PF and number of the VF.
func readSettings(settings map[string]setting, line string) error {
	pf, text, _ := strings.Cut(line, " ")
	var links []struct {
		VFs []json.RawMessage `json:"vfinfo_list"`
	}
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return err
	}
	for _, raw := range links[0].VFs {
		var known setting
		var all map[string]any
		if err := errors.Join(json.Unmarshal(raw, &known), json.Unmarshal(raw, &all)); err != nil {
			return err
		}
		delete(all, "address")
		known.rest = fmt.Sprint(all)
		settings[fmt.Sprint(pf, " ", all["vf"])] = known
	}
	return nil
}

// readLinks reads "INODE PATH JSON" and puts the links into the VFs that they are of.
func (g guest) readLinks(line, own string) error {
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
		vf, found := g.vfs[l.Device]
		if !found {
			continue
		}
		vf.Link, vf.MAC, vf.Up, vf.OnNode = l.Name, l.MAC, slices.Contains(l.Flags, "UP"), inode == own
		if !vf.OnNode {
			vf.inside = l.link
			vf.inside.namespace = path
		}
		g.vfs[l.Device] = vf
	}
	return nil
}

// vfPod may be on the virtual machine, without asking for it. Its two containers do nothing, and their image is there in no
// time.
func (s *scene) vfPod(name, selection string) *corev1.Pod {
	pod := s.pod(name, "", selection)
	first := &pod.Spec.Containers[0]
	first.Image, first.Command = "registry.k8s.io/pause:3.10", nil
	second := *first.DeepCopy()
	second.Name = "second"
	pod.Spec.Containers = append(pod.Spec.Containers, second)
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: cluster.VMLabel, Operator: corev1.TolerationOpExists})
	return pod
}

// restarts of the agent's container on a node.
func (s *scene) restarts(ctx context.Context, node string) (int32, error) {
	var pods corev1.PodList
	err := s.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "multinet-agent"})
	for _, p := range pods.Items {
		if p.Spec.NodeName == node && cluster.PodReady(&p) == nil {
			return p.Status.ContainerStatuses[0].RestartCount, err
		}
	}
	return 0, fmt.Errorf("no agent is Ready on %s (%v)", node, err)
}
