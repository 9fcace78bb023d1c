package qos

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// tags is the direction under which the program on a VLAN link is pinned: it writes what the link makes the tag of.
const tags direction = "tags"

// priorities is how many 802.1p has.
const priorities = 8

// ensureTags has a VLAN link write the priorities of pods into the tags of what they send. The link writes what the kernel's
// priority of a packet says, and a program writes that: a pod could ask for any by SO_PRIORITY otherwise.
func ensureTags(node *kernel.Namespace, p pins, link int, want map[mac]place, prune bool) error {
	name := pinName(link, tags)
	places, err := p.table(linksDir, placesPin(name), newPlaces)
	if err != nil {
		return err
	}
	defer places.Close()
	present, err := entries[place](places)
	if err != nil {
		return err
	}
	if err := ensureEntries(places, present, want, prune); err != nil {
		return err
	}
	// The token is left for the uplink's program.
	c := classifier{name: "multinet_tags", at: frameSource, places: places, keepMark: true}
	if err := ensureClassifier(node, p, name, link, ebpf.AttachTCXEgress, c); err != nil {
		return err
	}
	if err := setTagMap(node, link); err != nil {
		return fmt.Errorf("egress-qos-map: %w", err)
	}
	return nil
}

// setTagMap maps each priority to itself. Without it a VLAN link writes 0 into all tags.
func setTagMap(node *kernel.Namespace, link int) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(link)
	request.AddData(message)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vlan"))
	mappings := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_VLAN_EGRESS_QOS, nil)
	for priority := range uint32(priorities) {
		mappings.AddRtAttr(nl.IFLA_VLAN_QOS_MAPPING, append(nl.Uint32Attr(priority), nl.Uint32Attr(priority)...))
	}
	request.AddData(info)
	return node.Execute(request)
}

// pruneTags takes the programs off VLAN links where no attachment has a priority any more, and off those that are gone. Without
// a program a pod's own priority would count; the map stays with the link, so the program stays as long as any pod may be on it.
func (m *Manager) pruneTags(keep map[int]*segment, pinned []string) error {
	needed := map[int]bool{}
	for _, s := range keep {
		for _, a := range s.attachments {
			if vlan, tagged := a.VLAN(); tagged {
				if found, err := m.node.Handle().LinkByName(vlanOf(vlan)); err == nil {
					needed[found.Attrs().Index] = true
				}
			}
		}
	}
	var failed []error
	for _, name := range pinned {
		link, ok := strings.CutSuffix(name, "-"+string(tags))
		index, err := strconv.Atoi(link)
		if !ok || err != nil || needed[index] {
			continue
		}
		failed = append(failed, m.pins.remove(linksDir, name), m.pins.remove(linksDir, placesPin(name)))
	}
	return errors.Join(failed...)
}

// pinnedLinks are the indexes of the links that have a classifier for a tree.
func pinnedLinks(pinned []string) (indexes []int) {
	seen := map[int]bool{}
	for _, name := range pinned {
		link, d, _ := strings.Cut(name, "-")
		d = strings.TrimSuffix(d, "-places")
		index, err := strconv.Atoi(link)
		if err == nil && !seen[index] && (d == string(egress) || d == string(ingress)) {
			seen[index] = true
			indexes = append(indexes, index)
		}
	}
	return indexes
}
