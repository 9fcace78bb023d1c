package fabric

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// overlayByHand is the name of the VXLAN link in a node where it was made by hand.
const overlayByHand = "vx"

// ByHand makes a pair with the same devices as Multinet's overlay, by netlink calls alone: no mark, no guard.
func (l *Lab) ByHand() (Pair, error) {
	pair, err := l.pair("hand")
	if err != nil {
		return pair, err
	}
	for i, node := range pair {
		if node.link, err = vxlanByHand(node.Namespace, node.Addr, overlayByHand, vni); err != nil {
			return pair, err
		}
		if err := NeighboursByHand(node, node.link, remote(pair.other(i))); err != nil {
			return pair, err
		}
		pod := node.Pod
		if err := macvlanByHand(node.Handle(), pod.Handle(), pod.FD(), node.link, pod.MAC, pod.Addresses[:]); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

// Remote is a pod of another node.
type Remote struct {
	MAC       net.HardwareAddr
	Addresses [2]netip.Addr
	// Node is the address of its node.
	Node netip.Addr
}

func remote(node *Node) Remote {
	return Remote{node.Pod.MAC, [2]netip.Addr{node.Pod.Addresses[0].Addr(), node.Pod.Addresses[1].Addr()}, node.Addr}
}

// vxlanByHand makes the link of an overlay, up.
func vxlanByHand(node *kernel.Namespace, local netip.Addr, name string, vni int) (index int, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = name, mtu, net.FlagUp
	vxlan := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: vni, SrcAddr: local.AsSlice(), Port: port, Proxy: true}
	if err := node.Handle().LinkAdd(vxlan); err != nil {
		return 0, fmt.Errorf("create %s: %w", name, err)
	}
	link, err := node.Handle().LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", name, err)
	}
	return link.Attrs().Index, nil
}

// NeighboursByHand tells a VXLAN link where remote pods are, by three calls of the library for each.
func NeighboursByHand(node *Node, index int, pods ...Remote) error {
	for _, pod := range pods {
		forward := &netlink.Neigh{
			LinkIndex: index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT,
			HardwareAddr: pod.MAC, IP: pod.Node.AsSlice(),
		}
		if err := node.Handle().NeighSet(forward); err != nil {
			return fmt.Errorf("forward %s: %w", pod.MAC, err)
		}
		for _, addr := range pod.Addresses {
			if err := node.Handle().NeighSet(neighbour(index, addr, pod.MAC)); err != nil {
				return fmt.Errorf("neighbour %s: %w", addr, err)
			}
		}
	}
	return nil
}

func neighbour(index int, addr netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, HardwareAddr: mac, IP: addr.AsSlice()}
}

// macvlanByHand makes the interface of a pod by handles in the node and in the pod.
func macvlanByHand(node, pod *netlink.Handle, podFD, parent int, mac net.HardwareAddr, addresses []netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = PodInterface, parent, mac
	attrs.Namespace, attrs.Flags = netlink.NsFd(podFD), net.FlagUp
	if err := node.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
		return fmt.Errorf("create %s: %w", PodInterface, err)
	}
	return addAddresses(pod, PodInterface, addresses...)
}
