//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// overlayState is what a node holds of overlays.
type overlayState struct {
	// entries of each VXLAN link of ours, by VNI: who is where, as text.
	entries map[int]set
	// members are the VNIs and addresses that the guard lets in, segments the VNIs that it guards.
	members, segments set
}

type set map[string]bool

func newOverlayState() overlayState {
	return overlayState{entries: map[int]set{}, members: set{}, segments: set{}}
}

func at(mac, node string) string           { return mac + " on " + node }
func neighbour(address, mac string) string { return address + " is " + mac }
func member(vni int, node string) string   { return fmt.Sprintf("%d from %s", vni, node) }
func segment(vni, port int) string         { return fmt.Sprintf("%d at port %d", vni, port) }

// inspectOverlays prints a line for each VXLAN link of ours and each kind of what it was told, and one for the guard.
const inspectOverlays = `
for link in $(ip -o link show type vxlan | sed -n 's/^[0-9]*: \(mnvx[0-9]*\).*/\1/p'); do
	echo "fdb $link $(bridge -j fdb show dev $link 2>/dev/null)"
	echo "neighbours $link $(ip -j neigh show dev $link nud permanent 2>/dev/null)"
done
echo "guard $(nft -j list table inet multinet 2>/dev/null)"`

// read takes one of those lines.
func (o overlayState) read(kind, rest string) error {
	switch kind {
	case "fdb", "neighbours":
		link, text, _ := strings.Cut(rest, " ")
		vni, err := strconv.Atoi(strings.TrimPrefix(link, "mnvx"))
		if err != nil {
			return fmt.Errorf("VXLAN link %q: %w", link, err)
		}
		return o.readEntries(vni, text)
	case "guard":
		return o.readGuard(rest)
	}
	return nil
}

// readEntries reads ip's neighbours and bridge's forwarding entries.
func (o overlayState) readEntries(vni int, text string) error {
	if o.entries[vni] == nil {
		o.entries[vni] = set{}
	}
	if text == "" { // the link is gone by now
		return nil
	}
	var list []struct{ MAC, LLAddr, Dst string }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("entries of VNI %d: %w", vni, err)
	}
	for _, e := range list {
		if e.MAC != "" {
			o.entries[vni][at(e.MAC, e.Dst)] = true
		} else {
			o.entries[vni][neighbour(e.Dst, e.LLAddr)] = true
		}
	}
	return nil
}

// readGuard reads the table as nft shows it: keys of two parts, where a VNI is a number of the machine's own byte order.
func (o overlayState) readGuard(text string) error {
	if text == "" {
		return nil
	}
	var table struct {
		Nftables []struct {
			Set struct {
				Name string
				Elem []struct{ Concat [2]any }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		return fmt.Errorf("nftables table inet multinet: %w", err)
	}
	for _, object := range table.Nftables {
		for _, e := range object.Set.Elem {
			switch object.Set.Name {
			case "members4", "members6":
				o.members[member(vniOf(e.Concat[0]), fmt.Sprint(e.Concat[1]))] = true
			case "segments":
				o.segments[segment(vniOf(e.Concat[1]), int(e.Concat[0].(float64)))] = true
			}
		}
	}
	return nil
}

// vniOf turns the bytes of a number around.
func vniOf(mark any) int {
	number, ok := mark.(float64)
	if !ok {
		return -1
	}
	n := int(number)
	return n&0xff<<16 | n&0xff00 | n>>16&0xff
}

// overlaysDiffer compares a node with what the attachments of the cluster say that it has to know, no more and no less.
func (w world) overlaysDiffer(node string, state nodeState) error {
	want := newOverlayState()
	for _, a := range w.attachments {
		if o := overlayOf(a); o != nil && a.Spec.NodeName == node {
			want.entries[int(o.VNI)] = set{}
			want.segments[segment(int(o.VNI), int(o.Port))] = true
		}
	}
	for _, a := range w.attachments {
		o := overlayOf(a)
		if o == nil || a.Spec.NodeName == node || want.entries[int(o.VNI)] == nil {
			continue
		}
		entries := want.entries[int(o.VNI)]
		entries[at(a.Spec.MAC, o.NodeAddress)] = true
		for _, address := range a.Spec.Addresses {
			entries[neighbour(netip.MustParsePrefix(address.Address).Addr().String(), a.Spec.MAC)] = true
		}
		want.members[member(int(o.VNI), o.NodeAddress)] = true
	}
	return errors.Join(
		differ(node, "VXLAN links", links(want), links(state.overlays)),
		differ(node, "entries", flat(want.entries), flat(state.overlays.entries)),
		differ(node, "guarded segments", want.segments, state.overlays.segments),
		differ(node, "members", want.members, state.overlays.members))
}

func overlayOf(a v1alpha1.PodNetworkAttachment) *v1alpha1.AttachmentOverlay {
	if a.Spec.RackLocal == nil {
		return nil
	}
	return a.Spec.RackLocal.Overlay
}

func links(o overlayState) set {
	all := set{}
	for vni := range o.entries {
		all[strconv.Itoa(vni)] = true
	}
	return all
}

func flat(entries map[int]set) set {
	all := set{}
	for vni, list := range entries {
		for e := range list {
			all[fmt.Sprintf("%d: %s", vni, e)] = true
		}
	}
	return all
}

func differ(node, what string, want, got set) error {
	if maps.Equal(want, got) {
		return nil
	}
	minus := func(a, b set) []string {
		var rest []string
		for e := range a {
			if !b[e] {
				rest = append(rest, e)
			}
		}
		slices.Sort(rest)
		return rest
	}
	return fmt.Errorf("node %s: overlays' %s: leaked are %q, missing are %q", node, what, minus(got, want), minus(want, got))
}
