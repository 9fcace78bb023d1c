package fabric

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const (
	bridge = "br"
	// bridged is the node's end of the pod's veth pair.
	bridged = "pod"
)

// Bridge makes a pair whose pods are on bridges by veth pairs, with a VXLAN link as another port of each. It is the
// cheapest of its kind: forwarding entries and neighbours are static, and no packet passes the node's firewall.
func (l *Lab) Bridge() (Pair, error) {
	pair, err := l.pair("bridge")
	if err != nil {
		return pair, err
	}
	for i, node := range pair {
		if err := bridgeNode(node, remote(pair.other(i))); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

func bridgeNode(node *Node, far Remote) error {
	if err := bypassFirewall(node.Namespace); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = bridge, mtu, net.FlagUp
	snooping := false
	if err := node.Handle().LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("create %s: %w", bridge, err)
	}
	if err := bridgeOverlay(node, far); err != nil {
		return err
	}
	return bridgePod(node, far)
}

// bypassFirewall: what a bridge forwards passes the firewall by the kernel's default, which costs 15 % more.
func bypassFirewall(node *kernel.Namespace) error {
	return node.Do(func() error {
		for _, key := range []string{"ip", "ip6", "arp"} {
			if err := kernel.Proc("").WriteNet("bridge/bridge-nf-call-"+key+"tables", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// bridgeOverlay makes the VXLAN port and tells it and the bridge where the far pod is.
func bridgeOverlay(node *Node, far Remote) error {
	index, err := vxlanByHand(node.Namespace, node.Addr, overlayByHand, vni)
	if err != nil {
		return err
	}
	if err := enslave(node.Namespace, overlayByHand); err != nil {
		return err
	}
	static := &netlink.Neigh{
		LinkIndex: index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, State: netlink.NUD_NOARP, HardwareAddr: far.MAC,
	}
	if err := node.Handle().NeighSet(static); err != nil {
		return fmt.Errorf("bridge %s: %w", far.MAC, err)
	}
	return NeighboursByHand(node, index, far)
}

// bridgePod makes the veth pair, and has the pod know the far one.
func bridgePod(node *Node, far Remote) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = bridged, mtu, net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: PodInterface, PeerMTU: mtu, PeerHardwareAddr: node.Pod.MAC, PeerNamespace: netlink.NsFd(node.Pod.FD()),
	}
	if err := node.Handle().LinkAdd(veth); err != nil {
		return fmt.Errorf("create %s: %w", bridged, err)
	}
	if err := enslave(node.Namespace, bridged); err != nil {
		return err
	}
	inside, err := node.Pod.Handle().LinkByName(PodInterface)
	if err != nil {
		return err
	}
	if err := node.Pod.Handle().LinkSetUp(inside); err != nil {
		return err
	}
	if err := addAddresses(node.Pod.Handle(), PodInterface, node.Pod.Addresses[:]...); err != nil {
		return err
	}
	for _, addr := range far.Addresses {
		if err := node.Pod.Handle().NeighSet(neighbour(inside.Attrs().Index, addr, far.MAC)); err != nil {
			return fmt.Errorf("neighbour %s: %w", addr, err)
		}
	}
	return nil
}

func enslave(node *kernel.Namespace, name string) error {
	master, err := node.Handle().LinkByName(bridge)
	if err != nil {
		return err
	}
	link, err := node.Handle().LinkByName(name)
	if err != nil {
		return err
	}
	if err := node.Handle().LinkSetMaster(link, master); err != nil {
		return fmt.Errorf("put %s on %s: %w", name, bridge, err)
	}
	return nil
}
