//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
	// pfAddress is the PCI address of its PF.
	pfAddress string
	// inside is where the link is, for those that are not on the node, and netns that namespace's number.
	inside link
	netns  string
}

// guest is what the machine has of all VFs, by PCI address, and of the environments, VFIO groups and network namespaces of
// containers, by their IDs.
type guest struct {
	vfs         map[string]virtualFunction
	environment map[string][]string
	groups      map[string]string
	netns       map[string]string
}

// Everything in one command, and with few processes: they are slow to start there. What a container's first process is, containerd
// has written down.
const inspectVFs = `
shopt -s nullglob
for pf in /sys/class/net/pf*; do echo "pf ${pf##*/} $(ip -j link show "${pf##*/}")"; done
declare -A to inode seen
while read -r link target; do to[$link]=${target##*/}; done <<<"$(
	find /sys/class/net/pf*/device /sys/class/net/pf*/device/virtfn* /sys/bus/pci/devices/*/driver -maxdepth 0 -printf '%p %l\n')"
for vf in /sys/class/net/pf*/device/virtfn*; do
	device=${vf%/*} pf=${vf%/device/*}
	[ -z "${to[$vf]}" ] || echo "vf ${to[$vf]} ${pf##*/} ${vf##*virtfn} ${to[$device]} ${to[/sys/bus/pci/devices/${to[$vf]}/driver]}"
done
while read -r number path; do
	[ "$path" != /proc/1/ns/net ] || echo "node $number"
	inode[$path]=$number
	[ -z "${seen[$number]}" ] || continue
	seen[$number]=yes
	echo "links $number $path $(nsenter --net="$path" ip -j -d address show 2>/dev/null)"
done <<<"$(stat -Lc '%i %n' /proc/1/ns/net /run/netns/* /proc/[0-9]*/ns/net 2>/dev/null)"
for file in /run/containerd/io.containerd.runtime.v2.task/k8s.io/*/init.pid; do
	id=${file%/*} id=${id##*/} pid=$(<"$file") variables=
	while IFS= read -r -d '' variable; do variables+=$variable$'\t'; done <"/proc/$pid/environ" || continue
	groups=(/proc/$pid/root/dev/vfio/*)
	echo "netns $id ${inode[/proc/$pid/ns/net]}"
	echo "groups $id ${groups[*]##*/}"
	echo "container $id $variables"
done 2>/dev/null
true`

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
	g, own := guest{map[string]virtualFunction{}, map[string][]string{}, map[string]string{}, map[string]string{}}, ""
	settings := map[string]setting{}
	for line := range strings.Lines(out) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "pf":
			err = readSettings(settings, rest)
		case "vf":
			word := append(strings.Fields(rest), "") // A VF may be without a driver.
			of := settings[word[1]+" "+word[2]]
			g.vfs[word[0]] = virtualFunction{PF: word[1], Index: word[2], Driver: word[4], Settings: of.rest, admin: of.MAC, vlan: of.tag(), pfAddress: word[3]}
		case "node":
			own = rest
		case "links":
			err = g.readLinks(rest, own)
		case "netns":
			id, inode, _ := strings.Cut(rest, " ")
			g.netns[id] = inode
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
			vf.netns = inode
		}
		g.vfs[l.Device] = vf
	}
	return nil
}
