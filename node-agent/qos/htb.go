package qos

import (
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// ensureClasses makes the classes of a tree exist below its HTB as they should be. Classes that are there are changed in place,
// without loss. It removes none: see pruneClasses.
func ensureClasses(node *kernel.Namespace, link int, want tree, limits map[uint16]uint32) error {
	found, err := classes(node, link)
	if err != nil {
		return err
	}
	if err := ensureClass(node, link, handle(0), want.root, found); err != nil {
		return err
	}
	for _, leaf := range want.leaves {
		if err := ensureClass(node, link, handle(minorRoot), leaf, found); err != nil {
			return err
		}
		if limits[leaf.minor] == leaf.limit {
			continue
		}
		if err := setLimit(node, link, leaf.minor, leaf.limit); err != nil {
			return err
		}
	}
	return nil
}

func ensureClass(node *kernel.Namespace, link int, parent uint32, want class, found map[uint16]*netlink.HtbClass) error {
	wanted := want.htb(link, parent)
	present := found[want.minor]
	change := node.Handle().ClassAdd
	switch {
	case present == nil:
	case same(wanted, present):
		return nil
	default:
		change = node.Handle().ClassChange
	}
	if err := change(wanted); err != nil {
		return explained(fmt.Sprintf("class %x", want.minor), err)
	}
	return nil
}

func (c class) htb(link int, parent uint32) *netlink.HtbClass {
	return netlink.NewHtbClass(
		netlink.ClassAttrs{LinkIndex: link, Parent: parent, Handle: handle(c.minor)},
		netlink.HtbClassAttrs{Rate: htbRate(c.rate), Ceil: htbRate(c.ceil), Buffer: c.burst, Cbuffer: c.cburst, Quantum: c.quantum, Prio: c.prio})
}

// same compares after the conversion to the kernel's units. HTB tells no quantum and no prio of a class that has others below it.
func same(want, present *netlink.HtbClass) bool {
	leaf := want.Handle == handle(minorRoot) || want.Quantum == present.Quantum && want.Prio == present.Prio
	return leaf && want.Rate == present.Rate && want.Ceil == present.Ceil && want.Buffer == present.Buffer && want.Cbuffer == present.Cbuffer
}

// classes lists the classes of our HTB on a link, with their counters.
func classes(node *kernel.Namespace, link int) (map[uint16]*netlink.HtbClass, error) {
	list, err := kernel.Dump(func() ([]netlink.Class, error) { return node.Handle().ClassList(byIndex(link), 0) })
	if err != nil {
		return nil, fmt.Errorf("list classes: %w", err)
	}
	found := make(map[uint16]*netlink.HtbClass, len(list))
	for _, c := range list {
		htb, ok := c.(*netlink.HtbClass)
		if number, minor := netlink.MajorMinor(c.Attrs().Handle); ok && number == major {
			found[minor] = htb
		}
	}
	return found, nil
}

// removeClass removes a class that no program names any more. What waits in its queue is lost.
func removeClass(node *kernel.Namespace, found *netlink.HtbClass) error {
	if err := node.Handle().ClassDel(found); err != nil && !gone(err) {
		return fmt.Errorf("remove class %s: %w", netlink.HandleStr(found.Handle), err)
	}
	return nil
}

// pruneClasses removes the classes that the tree does not have, and returns what they had counted.
func pruneClasses(node *kernel.Namespace, link int, want tree) (removed []*netlink.HtbClass, err error) {
	found, err := classes(node, link)
	if err != nil {
		return nil, err
	}
	delete(found, minorRoot)
	for _, leaf := range want.leaves {
		delete(found, leaf.minor)
	}
	for _, c := range found {
		if err := removeClass(node, c); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}

func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
