package qos

import (
	"cmp"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// segment is a link of the node with all planned attachments that send over it, those of VLANs on it included.
type segment struct {
	// name of the link on the node.
	name string
	// device is what the attachments were planned on.
	device      plan.Device
	overlay     bool
	attachments []plan.Attachment
}

// linkOf is the link of the node whose queues an attachment's packets wait in. It is empty for a VF, which has its own.
func linkOf(a plan.Attachment) string {
	switch {
	case a.Macvlan == nil:
		return ""
	case a.Overlay != nil:
		return plumb.OverlayName(a.Overlay.VNI)
	}
	return a.Device.Uplink
}

// passthru links have the MAC of the uplink, and no other link is beside them.
func passthru(a plan.Attachment) bool { return a.Macvlan != nil && a.Macvlan.Mode == "passthru" }

// segments sorts attachments by the link that they send over.
func segments(all []plan.Attachment) (list []*segment) {
	byName := map[string]*segment{}
	for _, a := range all {
		name := linkOf(a)
		if name == "" || passthru(a) {
			continue
		}
		s := byName[name]
		if s == nil {
			s = &segment{name: name, device: a.Device, overlay: a.Overlay != nil}
			byName[name] = s
			list = append(list, s)
		}
		s.attachments = append(s.attachments, a)
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.name, b.name) })
	for _, s := range list {
		slices.SortFunc(s.attachments, func(a, b plan.Attachment) int { return slices.Compare(a.MAC, b.MAC) })
	}
	return list
}

// wanted tells whether the link is to have a tree in a direction: only where a class asks for something there.
func (s *segment) wanted(d direction) bool {
	return slices.ContainsFunc(s.attachments, func(a plan.Attachment) bool { return asks(a, d) })
}

// asks tells whether a direction needs a tree for an attachment: one with any class has one for what it sends, so that it is not
// among those without.
func asks(a plan.Attachment, d direction) bool {
	return a.QoS != nil && (d == egress || a.QoS.Ingress != plan.Bandwidth{})
}

// members are the attachments that have a class of their own in a direction that has a tree: all with a QoSClass. One that asks for
// nothing there may do so later, or have done before, and what waits in its queue is not lost by the change.
func (s *segment) members(d direction) (list []member) {
	for _, a := range s.attachments {
		if a.QoS == nil {
			continue
		}
		m := member{mac: newMAC(a.MAC), Bandwidth: a.QoS.Egress, gso: cmp.Or(a.GSOMaxSize, wholeGSO)}
		if d == ingress {
			m.Bandwidth, m.gso, m.split = a.QoS.Ingress, wholeGSO, true // gso is that of senders elsewhere
		}
		if a.QoS.Priority != nil {
			m.priority = *a.QoS.Priority
		}
		list = append(list, m)
	}
	return list
}

// vlans are the VLANs on the link in which an attachment has a priority.
func (s *segment) vlans() (ids []int) {
	for _, a := range s.attachments {
		if vlan, tagged := a.VLAN(); tagged && a.QoS != nil && a.QoS.Priority != nil && !slices.Contains(ids, vlan.ID) {
			ids = append(ids, vlan.ID)
		}
	}
	return ids
}
