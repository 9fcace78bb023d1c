package qos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// local is the direction under which the program on a VLAN link is pinned that finds what its pods send each other.
const local direction = "local"

// neighbours are the VLANs on the link in which an attachment asks for something of what it receives.
func (s *segment) neighbours() (list []plan.VLAN) {
	for _, a := range s.attachments {
		if vlan, tagged := a.VLAN(); tagged && asks(a, ingress) && !slices.Contains(list, vlan) {
			list = append(list, vlan)
		}
	}
	return list
}

// neighbours sends what pods of a VLAN send each other over the queues of what the uplink receives, and returns what hinders it: the
// VLAN's link receives that, not the uplink. What has come over the uplink has been there already.
func (a application) neighbours(queue int) map[plan.VLAN]error {
	trouble := map[plan.VLAN]error{}
	for _, vlan := range a.segment.neighbours() {
		trouble[vlan] = a.queueNeighbours(vlan, queue)
	}
	return trouble
}

func (a application) queueNeighbours(vlan plan.VLAN, queue int) error {
	link, err := plumb.EnsureVLAN(a.state.node, vlan.Uplink, vlan.ID)
	if err != nil {
		return err
	}
	places, err := a.pins.table(linksDir, placesPin(pinName(a.state.index(a.segment.name), ingress)), newPlaces)
	if err != nil {
		return err
	}
	defer places.Close()
	c := classifier{
		name: "multinet_local", at: ingress.macAt(), places: places, group: handle(minorGroup), other: handle(minorDefault), unqueued: true,
	}
	if err := ensureClassifier(a.state.node, a.pins, pinName(link.Index, local), link.Index, ebpf.AttachTCXIngress, c); err != nil {
		return err
	}
	return openDetour(a.state.node, link.Index, queue, a.state.qdiscs)
}

// missNeighbours adds what is not enforced between pods of a VLAN.
func missNeighbours(r *plan.QoSReport, a plan.Attachment, trouble map[plan.VLAN]error) {
	vlan, tagged := a.VLAN()
	if err := trouble[vlan]; tagged && err != nil && a.QoS.Ingress.Maximum > 0 {
		r.Miss(plan.KnobIngressMaximum, reasonOf(err), fmt.Sprintf("it is not enforced between pods of VLAN %d: %v", vlan.ID, err))
	}
}

// pruneNeighbours lets what pods of a VLAN send each other take its own way again where nobody asks for queues. It comes before the
// queues are removed: what is sent to an interface that is gone is lost.
func (m *Manager) pruneNeighbours(state *snapshot, needed []*segment, pinned []string) error {
	keep := map[int]bool{}
	for _, s := range needed {
		for _, vlan := range s.neighbours() {
			if found, err := state.node.Handle().LinkByName(vlanOf(vlan)); err == nil {
				keep[found.Attrs().Index] = true
			}
		}
	}
	var failed []error
	for _, name := range pinned {
		link, ok := strings.CutSuffix(name, "-"+string(local))
		index, err := strconv.Atoi(link)
		if !ok || err != nil || keep[index] {
			continue
		}
		if _, err := closeWay(state.node, index); err != nil {
			failed = append(failed, err)
			continue
		}
		failed = append(failed, m.pins.remove(linksDir, name))
	}
	return errors.Join(failed...)
}
