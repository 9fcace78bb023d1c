package qos

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// application brings one link to what its attachments ask for.
type application struct {
	*Manager
	state    *snapshot
	segment  *segment
	complete bool
	names    map[treeKey]map[uint16]string
}

// apply tells whether pods of the link are in its tree. The error is for the log: who needs it finds it in the reports.
func (a application) apply(reports map[attachmentKey]plan.QoSReport) (ok bool, err error) {
	speed := a.speed()
	sent, errOut := a.egress(speed)
	received, errIn := shaped{}, error(nil)
	var between map[plan.VLAN]error
	if errOut == nil && a.segment.wanted(ingress) {
		if received, errIn = a.ingress(speed); errIn == nil {
			between = a.neighbours(received.queue)
		}
	}
	tagged := a.vlans()
	for _, attachment := range a.segment.attachments {
		if attachment.QoS == nil {
			continue
		}
		r := plan.QoSReport{}
		if errOut != nil {
			r = attachment.QoS.NotEnforced(reasonOf(errOut), errOut.Error())
		} else {
			m := newMAC(attachment.MAC)
			a.readEgress(&r, attachment, sent.found[sent.minors[m]], speed, tagged)
			if errIn != nil {
				missDirection(&r, attachment.QoS, ingress, errIn)
			} else {
				r.Ingress = readBack(&r, ingress, attachment.QoS.Ingress, received.found[received.minors[m]], speed, a.segment.device.Uplink)
				missNeighbours(&r, attachment, between)
			}
		}
		reports[keyOf(attachment)] = r
	}
	return errOut == nil, errors.Join(errOut, errIn)
}

// speed of the link, 0 where nobody knows it. While a NIC has no carrier, or an agent that starts does not know all devices yet,
// what the tree was made for counts.
func (a application) speed() uint64 {
	link := a.state.links[a.segment.name]
	if speed := a.Speed(a.segment.device); speed > 0 || link == nil {
		return speed
	}
	found, err := classes(a.state.node, link.Attrs().Index)
	if root := found[minorRoot]; err == nil && root != nil && root.Ceil*8 != unlimited {
		return root.Ceil * 8
	}
	return 0
}

// readEgress reads back what is written on the packets, too.
func (a application) readEgress(r *plan.QoSReport, attachment plan.Attachment, has *netlink.HtbClass, speed uint64, tagged map[int]error) {
	q := attachment.QoS
	r.Egress = readBack(r, egress, q.Egress, has, speed, a.segment.device.Uplink)
	r.DSCP = q.DSCP
	if q.Priority == nil || has == nil {
		return
	}
	vlan, isTagged := attachment.VLAN()
	if err := tagged[vlan.ID]; isTagged && err != nil {
		r.Miss(plan.KnobPriority, reasonOf(err), fmt.Sprintf("the tags of VLAN %d do not have it: %v", vlan.ID, err))
		return
	}
	priority := lowestPrio - int(has.Prio)
	r.Priority = &priority
}

// egress puts the tree onto the link itself.
func (a application) egress(speed uint64) (shaped, error) {
	link := a.state.links[a.segment.name]
	if link == nil {
		return shaped{}, fmt.Errorf("the node has no interface %s", a.segment.name)
	}
	if root, found := rootOf(a.state.qdiscs, link.Attrs().Index); found && root.foreign() {
		return shaped{}, fmt.Errorf("uplink %s: %w (%s)", a.segment.name, errForeignQdisc, root.kind)
	}
	return a.shape(a.shaper(link, egress, link.Attrs().Index), link, speed)
}

// ingress puts the tree onto an ifb, before what arrives is sent there.
func (a application) ingress(speed uint64) (shaped, error) {
	link := a.state.links[a.segment.name]
	_, others, err := filters(a.state.node, link.Attrs().Index)
	if err == nil && others {
		err = errForeignFilters
	}
	if err != nil {
		return shaped{}, fmt.Errorf("uplink %s: %w", a.segment.name, err)
	}
	queue, err := ensureDetour(a.state.node, link.Attrs().Index)
	if err != nil {
		return shaped{}, err
	}
	done, err := a.shape(a.shaper(link, ingress, queue), link, speed)
	if err == nil {
		err = openDetour(a.state.node, link.Attrs().Index, queue, a.state.qdiscs)
	}
	if err != nil {
		return done, fmt.Errorf("uplink %s: what it receives: %w", a.segment.name, err)
	}
	return done, nil
}

func (a application) shaper(link netlink.Link, d direction, queue int) shaper {
	return shaper{node: a.state.node, pins: a.pins, direction: d, link: link.Attrs().Index, queue: queue, mtu: link.Attrs().MTU}
}

// shape makes a tree, and keeps the books of what it counts.
func (a application) shape(s shaper, link netlink.Link, speed uint64) (shaped, error) {
	done, err := s.ensure(speed, wholeGSO, a.segment.members(s.direction), a.state.tokens, linkMAC(link.Attrs().HardwareAddr), a.state.qdiscs, a.complete)
	key := treeKey{a.segment.name, s.direction, s.queue}
	before := a.Manager.names[key]
	for _, class := range done.removed {
		_, minor := netlink.MajorMinor(class.Handle)
		if name := before[minor]; name != "" {
			counted := *class
			a.retired.add(counterKey{key.link, key.direction, name}, &counted)
		}
	}
	a.names[key] = a.namesOf(done)
	if err != nil {
		return done, fmt.Errorf("uplink %s: %w", a.segment.name, err)
	}
	return done, nil
}

// namesOf are the QoSClasses by the minor numbers of their members.
func (a application) namesOf(done shaped) map[uint16]string {
	names := map[uint16]string{}
	for minor, name := range ownClasses {
		names[minor] = name
	}
	for _, attachment := range a.segment.attachments {
		if minor := done.minors[newMAC(attachment.MAC)]; minor != 0 && attachment.QoS != nil {
			names[minor] = attachment.QoS.Class
		}
	}
	return names
}

// vlans makes the VLAN links on the link write priorities into their tags, and returns what hinders it.
func (a application) vlans() map[int]error {
	trouble := map[int]error{}
	for _, id := range a.segment.vlans() {
		trouble[id] = a.vlan(plan.VLAN{Uplink: a.segment.device.Uplink, ID: id})
	}
	return trouble
}

func (a application) vlan(vlan plan.VLAN) error {
	link, err := plumb.EnsureVLAN(a.state.node, vlan.Uplink, vlan.ID)
	if err != nil {
		return err
	}
	want := map[mac]place{}
	for _, attachment := range a.segment.attachments {
		if on, tagged := attachment.VLAN(); tagged && on == vlan && attachment.QoS != nil && attachment.QoS.Priority != nil {
			m := newMAC(attachment.MAC)
			want[m] = place{Priority: uint32(*attachment.QoS.Priority), Token: a.state.tokens[m]}
		}
	}
	return ensureTags(a.state.node, a.pins, link.Index, want, a.complete)
}

func linkMAC(address net.HardwareAddr) mac { return newMAC(plan.HardwareAddr(bytes.Clone(address))) }

// prune gives the links back that need no tree any more, and forgets programs of links that are gone.
func (m *Manager) prune(needed []*segment, state *snapshot) error {
	keep := map[int]*segment{}
	for _, s := range needed {
		keep[state.index(s.name)] = s
	}
	pinned, err := m.pins.list(linksDir)
	if err != nil {
		return err
	}
	failed := []error{m.pruneNeighbours(state, needed, pinned)}
	for _, index := range pinnedLinks(pinned) {
		s := keep[index]
		switch {
		case s == nil:
			failed = append(failed, m.unshape(state, index, ingress), m.unshape(state, index, egress))
		case !s.wanted(ingress) && slices.Contains(pinned, pinName(index, ingress)):
			failed = append(failed, m.unshape(state, index, ingress))
		}
	}
	return errors.Join(append(failed, m.pruneTags(keep, pinned))...)
}

// unshape removes what a shaper has made. The link may be gone, with all that was on it.
func (m *Manager) unshape(state *snapshot, index int, d direction) error {
	queue := index
	if d == ingress {
		found, err := state.node.Handle().LinkByName(detourName(index))
		if err == nil {
			removed, err := closeDetour(state.node, index, found.Attrs().Index)
			if err != nil || !removed {
				return err
			}
		}
		queue = -1 // its tree went with it
	}
	s := shaper{node: state.node, pins: m.pins, direction: d, link: index, queue: queue}
	if err := s.remove(state.qdiscs); err != nil {
		return fmt.Errorf("interface %d: %w", index, err)
	}
	return nil
}
