package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/plumb"
)

const (
	// entriesEach is one for the MAC and two for addresses.
	entriesEach = 3
	// podsEach is how many remote pods a node has.
	podsEach = 100
)

// Remotes returns so many pods on other nodes.
func Remotes(count int) []Remote {
	pods := make([]Remote, count)
	for i := range pods {
		hi, lo, node := byte(i>>8), byte(i), i/podsEach
		v6 := netip.MustParseAddr("fd00:9::").As16()
		v6[14], v6[15] = hi, lo
		pods[i] = Remote{
			MAC:       net.HardwareAddr{2, 0, 9, byte(i >> 16), hi, lo},
			Addresses: [2]netip.Addr{netip.AddrFrom4([4]byte{10, 9 + byte(i>>16), hi, lo}), netip.AddrFrom16(v6)},
			Node:      netip.AddrFrom4([4]byte{198, 18, byte(node >> 8), byte(node)}),
		}
	}
	return pods
}

// desired are the entries for pods.
func desired(pods []Remote) []plumb.Entry {
	entries := make([]plumb.Entry, 0, entriesEach*len(pods))
	for _, pod := range pods {
		mac := plumb.MAC(pod.MAC)
		entries = append(entries, plumb.Entry{MAC: mac, Via: pod.Node})
		for _, addr := range pod.Addresses {
			entries = append(entries, plumb.Entry{MAC: mac, Addr: addr})
		}
	}
	return entries
}

// Program tells a link of the node about pods on other nodes.
func Program(node *Node, index int, pods []Remote) error {
	return plumb.Program(node.Namespace, index, desired(pods), nil)
}

// Spoil removes some of the entries for pods, and puts as many of nobody's.
func Spoil(node *Node, index int, pods []Remote, count int) error {
	missing := desired(pods)[:count]
	surplus := make([]plumb.Entry, count)
	for i := range surplus {
		surplus[i] = plumb.Entry{MAC: plumb.MAC{2, 0, 10, 0, byte(i >> 8), byte(i)}, Via: netip.AddrFrom4([4]byte{198, 19, 0, 1})}
	}
	return plumb.Program(node.Namespace, index, surplus, missing)
}

// Reconcile makes the entries of a link what they should be, and returns how many were not.
func Reconcile(node *Node, index int, pods []Remote) (wrong int, err error) {
	found, err := plumb.Entries(node.Namespace, index)
	if err != nil {
		return 0, err
	}
	missing := map[plumb.Entry]bool{}
	for _, entry := range desired(pods) {
		missing[entry] = true
	}
	var add, remove []plumb.Entry
	for _, entry := range found {
		if !missing[entry] {
			remove = append(remove, entry)
		}
		delete(missing, entry)
	}
	for entry := range missing {
		add = append(add, entry)
	}
	return len(add) + len(remove), plumb.Program(node.Namespace, index, add, remove)
}

// WithVXLAN calls f with the index of a new VXLAN link without entries, and removes that.
func WithVXLAN(node *Node, f func(index int) error) error {
	const name = "vxmany"
	index, err := vxlanByHand(node.Namespace, node.Addr, name, vni+1)
	if err != nil {
		return err
	}
	err = f(index)
	if removed := plumb.RemoveLink(node.Namespace, index); removed != nil {
		err = errors.Join(err, fmt.Errorf("remove %s: %w", name, removed))
	}
	return err
}
