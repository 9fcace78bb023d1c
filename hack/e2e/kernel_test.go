//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// nodeState is what a node holds of pods' networks.
type nodeState struct {
	links []link
	// ledger are the pod UIDs with a plan, folders those with files for containers.
	ledger, folders []string
	// selected are the pod UIDs of which there is a record of what they select, or of a sandbox.
	selected []string
	// files are of devices and of sandboxes that ended.
	files    []string
	overlays overlayState
}

// link is a macvlan link in any network namespace of a node.
type link struct {
	Name      string    `json:"ifname"`
	MAC       string    `json:"address"`
	Addresses []address `json:"addr_info"`
	// namespace is a path to enter it by, onNode tells that it is the node's own.
	namespace string
	onNode    bool
}

type address struct {
	IP    string `json:"local"`
	Bits  int    `json:"prefixlen"`
	Scope string `json:"scope"`
}

// prefixes without the link-local ones, sorted.
func (l link) prefixes() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, a := range l.Addresses {
		if ip, err := netip.ParseAddr(a.IP); err == nil && a.Scope != "link" {
			prefixes = append(prefixes, netip.PrefixFrom(ip, a.Bits))
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return prefixes
}

// inspect lists the namespaces once each, the named ones first, since their paths last. Processes and namespaces
// that end meanwhile are no error.
const inspect = `
ls /var/lib/multinet/pods 2>/dev/null | sed -n 's/^\([^.]*\)\.json$/ledger \1/p'
ls /run/multinet/pods 2>/dev/null | sed 's/^/folder /'
ls /run/multinet/selected 2>/dev/null | sed -n 's/^\([^.]*\)\.json$/selected \1/p'
cat /run/multinet/sandboxes/*.json 2>/dev/null | grep -o '"podUID":"[^"]*"' | sed 's/.*:"\(.*\)"/selected \1/'
find /var/run/k8s.cni.cncf.io/devinfo /var/run/cdi/multinet.dev-* /var/lib/multinet/cni/deleted -type f 2>/dev/null | sed 's/^/file /'
echo "node $(stat -Lc %i /proc/1/ns/net)"
stat -Lc '%i %n' /run/netns/* /proc/[0-9]*/ns/net 2>/dev/null | sort -s -u -k1,1 | while read -r inode path; do
	echo "links $inode $path $(nsenter --net=$path ip -j -d address show type macvlan 2>/dev/null)"
done`

// inspectNode reads the state of a node.
func (s *scene) inspectNode(ctx context.Context, node string) (nodeState, error) {
	state := nodeState{overlays: newOverlayState()}
	out, err := s.OnNode(ctx, node, "sh", "-c", inspect+inspectOverlays)
	if err != nil {
		return state, err
	}
	own := ""
	for line := range strings.Lines(out) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "ledger":
			state.ledger = append(state.ledger, rest)
		case "folder":
			state.folders = append(state.folders, rest)
		case "selected":
			state.selected = append(state.selected, rest)
		case "file":
			state.files = append(state.files, rest)
		case "node":
			own = rest
		case "links":
			links, err := parseLinks(rest, own)
			if err != nil {
				return state, fmt.Errorf("node %s: %w", node, err)
			}
			state.links = append(state.links, links...)
		default:
			if err := state.overlays.read(kind, rest); err != nil {
				return state, fmt.Errorf("node %s: %w", node, err)
			}
		}
	}
	return state, nil
}

// parseLinks reads "INODE PATH JSON".
func parseLinks(line, own string) ([]link, error) {
	inode, rest, _ := strings.Cut(line, " ")
	path, text, _ := strings.Cut(rest, " ")
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var links []link
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return nil, fmt.Errorf("links of namespace %s: %w", path, err)
	}
	// ip writes an empty element for each link that its filter drops.
	links = slices.DeleteFunc(links, func(l link) bool { return l.Name == "" })
	for i := range links {
		links[i].namespace, links[i].onNode = path, inode == own
	}
	return links, nil
}

// linkOf returns the one link that carries the attachment.
func (n nodeState) linkOf(a v1alpha1.PodNetworkAttachment) (link, error) {
	mac := a.Spec.MAC
	if m := a.Spec.Macvlan; m != nil && m.Mode == v1alpha1.MacvlanModePassthru {
		mac = a.Status.MAC // that of the uplink
	}
	var found []link
	for _, l := range n.links {
		if l.MAC == mac {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return link{}, fmt.Errorf("node %s has %d links with MAC %s of attachment %s/%s", a.Spec.NodeName, len(found), mac, a.Namespace, a.Name)
	}
	var want []netip.Prefix
	for _, address := range a.Spec.Addresses {
		want = append(want, netip.MustParsePrefix(address.Address))
	}
	slices.SortFunc(want, netip.Prefix.Compare)
	l := found[0]
	if l.Name != string(a.Spec.Interface) || l.onNode || !slices.Equal(l.prefixes(), want) {
		return l, fmt.Errorf("attachment %s/%s: link %s in %s has addresses %v instead of %v on %s", a.Namespace, a.Name, l.Name, l.namespace, l.prefixes(), want, a.Spec.Interface)
	}
	return l, nil
}

// assertAttached compares pods' attachments, as many as the pod selects, with the kernel and with their own status.
func (s *scene) assertAttached(names ...string) {
	s.t.Helper()
	s.until(time.Minute, "the attachments to say what the kernel has", func(ctx context.Context) error {
		var list v1alpha1.PodNetworkAttachmentList
		if err := s.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		states := map[string]nodeState{}
		for _, name := range names {
			pod, err := s.get(ctx, name)
			if err != nil {
				return err
			}
			node := pod.Spec.NodeName
			if _, known := states[node]; !known {
				if states[node], err = s.inspectNode(ctx, node); err != nil {
					return err
				}
			}
			if err := attached(pod, list.Items, states[node]); err != nil {
				return err
			}
		}
		return nil
	})
}

// attachmentsOf are all attachments of a Network in the test's namespace.
func (s *scene) attachmentsOf(network string) []v1alpha1.PodNetworkAttachment {
	s.t.Helper()
	var list v1alpha1.PodNetworkAttachmentList
	s.must(s.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingFields{"spec.networkName": network}))
	return list.Items
}
