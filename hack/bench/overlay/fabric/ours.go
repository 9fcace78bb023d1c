package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Ours makes a pair as the node agent does: guard, link and entries before the pods' sandboxes exist, then the attach path.
func (l *Lab) Ours() (Pair, error) {
	pair, err := l.pair("ours")
	if err != nil {
		return pair, err
	}
	for i, node := range pair {
		node.attacher = attach.New(attach.Options{NodeNamespace: node.Path()})
		if err := prepare(node, pair.other(i)); err != nil {
			return pair, err
		}
		if err := node.attach(node.Pod.Path(), node.Pod.MAC, node.Pod.Addresses[:]); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

func (n *Node) overlay() plan.Overlay {
	return plan.Overlay{Network: "rack", Rack: "r1", VNI: vni, Port: port, Local: n.Addr}
}

func prepare(node, other *Node) error {
	guard := plumb.Guard{VNI: vni, Port: port, Members: []netip.Addr{other.Addr}}
	if err := plumb.EnsureGuards(node.Namespace, []plumb.Guard{guard}); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	link, _, err := node.attacher.EnsureOverlay(node.overlay())
	if err != nil {
		return err
	}
	return Program(node, link.Index, []Remote{remote(other)})
}

func (n *Node) attach(path string, mac net.HardwareAddr, addresses []netip.Prefix) error {
	overlay := n.overlay()
	_, err := n.attacher.Attach(context.Background(), path, []plan.Attachment{{
		Network:   overlay.Network,
		Interface: PodInterface,
		MAC:       plan.HardwareAddr(mac),
		Addresses: addresses,
		Device:    plan.Device{Name: "overlay", Uplink: nic},
		Macvlan:   &plan.Macvlan{Mode: "bridge"},
		Overlay:   &overlay,
		Rack:      overlay.Rack,
	}})
	return err
}
