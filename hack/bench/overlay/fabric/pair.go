package fabric

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// PodInterface is the pods' interface.
const PodInterface = "net1"

// What all pairs have alike. Nothing of one meets anything of another, since each has namespaces of its own.
const (
	nic  = "eth0"
	vni  = 7000
	port = 4789
	// mtu is that of the cable less what VXLAN over IPv4 adds to each frame.
	mtu = 1500 - 50
)

// Node is one end of a pair.
type Node struct {
	*kernel.Namespace
	// Addr is the node's own address on the cable.
	Addr netip.Addr
	// Pod takes part in the traffic.
	Pod Pod
	// attacher is set where the node is Multinet's, link, the index of the VXLAN link, where it is made by hand.
	attacher *attach.Attacher
	link     int
}

// Pod is a namespace and what its interface has.
type Pod struct {
	*kernel.Namespace
	MAC       net.HardwareAddr
	Addresses [2]netip.Prefix
}

// Pair is two nodes with a pod each.
type Pair [2]*Node

// pair makes two nodes, whose pods have no interfaces yet.
func (l *Lab) pair(name string) (p Pair, err error) {
	for i := range p {
		if p[i], err = l.node(name, byte(i+1)); err != nil {
			return p, err
		}
	}
	if err := kerneltest.CreateVeth(p[0].Namespace, nic, p[1].Namespace, nic); err != nil {
		return p, err
	}
	for _, node := range p {
		if err := addAddresses(node.Handle(), nic, netip.PrefixFrom(node.Addr, 24)); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (l *Lab) node(pair string, number byte) (*Node, error) {
	node, err := l.namespace(fmt.Sprintf("%s-node-%d", pair, number))
	if err != nil {
		return nil, err
	}
	pod, err := l.namespace(fmt.Sprintf("%s-pod-%d", pair, number))
	if err != nil {
		return nil, err
	}
	return &Node{Namespace: node, Addr: netip.AddrFrom4([4]byte{192, 0, 2, number}), Pod: newPod(pod, number)}, nil
}

func newPod(ns *kernel.Namespace, number byte) Pod {
	v6 := netip.MustParseAddr("fd00:7::").As16()
	v6[15] = number
	return Pod{ns, net.HardwareAddr{2, 0, 7, 0, 0, number}, [2]netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, 0, number}), 16),
		netip.PrefixFrom(netip.AddrFrom16(v6), 64),
	}}
}

// other is the node at the far end.
func (p Pair) other(i int) *Node { return p[1-i] }

func addAddresses(handle *netlink.Handle, name string, addresses ...netip.Prefix) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("look up %s: %w", name, err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := handle.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}
	return nil
}
