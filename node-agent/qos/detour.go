package qos

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// detourPriority is that of our filter, and its mark.
const detourPriority = major

// detourName is the name of the ifb over which what arrives on a link makes its detour.
func detourName(link int) string { return fmt.Sprintf("mnifb%d", link) }

// errForeignFilters tells that somebody else's filters see what arrives.
var errForeignFilters = errors.New("somebody else's filters are on what arrives there (tc filter show dev … ingress)")

// ensureDetour makes the ifb, up. Nothing goes over it before openDetour.
func ensureDetour(node *kernel.Namespace, link int) (queue int, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group, attrs.Flags = detourName(link), plan.LinkGroup, net.FlagUp
	if err := node.Handle().LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, explained("create "+attrs.Name, err)
	}
	found, err := node.Handle().LinkByName(attrs.Name)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", attrs.Name, err)
	}
	if found.Type() != "ifb" || found.Attrs().Group != plan.LinkGroup {
		return 0, fmt.Errorf("the node's interface %s exists, but is not Multinet's: rename or remove it", attrs.Name)
	}
	return found.Attrs().Index, node.Handle().LinkSetUp(found)
}

// openDetour sends what arrives on the link over the ifb. A link that has filters of somebody else is left alone.
func openDetour(node *kernel.Namespace, link, queue int, list []qdisc) error {
	ours, others, err := filters(node, link)
	switch {
	case err != nil || ours:
		return err
	case others:
		return errForeignFilters
	}
	if !hasClsact(list, link) {
		err := node.Handle().QdiscAdd(clsact(link))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return explained("create clsact", err)
		}
	}
	filter := &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: link, Parent: netlink.HANDLE_MIN_INGRESS, Priority: detourPriority, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(queue)},
	}
	if err := node.Handle().FilterAdd(filter); err != nil {
		return explained("redirect what arrives", err)
	}
	return nil
}

// closeDetour lets what arrives take its own way again. The ifb is removed by a later look, when nothing waits there any more.
func closeDetour(node *kernel.Namespace, link, queue int) (removed bool, err error) {
	closed, err := closeWay(node, link)
	if closed || err != nil {
		return false, err
	}
	found, err := classes(node, queue)
	if err != nil {
		return false, err
	}
	for _, c := range found {
		if stats := c.Statistics; stats != nil && stats.Queue != nil && stats.Queue.Qlen > 0 {
			return false, nil
		}
	}
	if err := node.Handle().LinkDel(byIndex(queue)); err != nil && !gone(err) {
		return false, fmt.Errorf("remove %s: %w", detourName(link), err)
	}
	return true, nil
}

// closeWay removes our filter from what arrives on a link. It tells whether there was one.
func closeWay(node *kernel.Namespace, link int) (closed bool, err error) {
	all, err := kernel.Dump(func() ([]netlink.Filter, error) {
		return node.Handle().FilterList(byIndex(link), netlink.HANDLE_MIN_INGRESS)
	})
	if err != nil && !gone(err) {
		return false, fmt.Errorf("list filters: %w", err)
	}
	for _, f := range all {
		if f.Attrs().Priority != detourPriority || closed {
			continue
		}
		// Without a handle the kernel removes all of the priority: u32 has a table of its own beside each filter.
		filter := &netlink.U32{FilterAttrs: netlink.FilterAttrs{LinkIndex: link, Parent: netlink.HANDLE_MIN_INGRESS, Priority: detourPriority, Protocol: unix.ETH_P_ALL}}
		if err := node.Handle().FilterDel(filter); err != nil && !gone(err) {
			return false, fmt.Errorf("remove the redirection: %w", err)
		}
		closed = true
	}
	if closed {
		if _, others, err := filters(node, link); err == nil && !others {
			if err := node.Handle().QdiscDel(clsact(link)); err != nil && !gone(err) {
				return true, fmt.Errorf("remove clsact: %w", err)
			}
		}
	}
	return closed, nil
}

// filters tells whether our filter, and anybody else's, is on what passes a link.
func filters(node *kernel.Namespace, link int) (ours, others bool, err error) {
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		all, err := kernel.Dump(func() ([]netlink.Filter, error) { return node.Handle().FilterList(byIndex(link), parent) })
		if err != nil && !gone(err) {
			return false, false, fmt.Errorf("list filters: %w", err)
		}
		for _, f := range all {
			mine := parent == netlink.HANDLE_MIN_INGRESS && f.Attrs().Priority == detourPriority
			ours, others = ours || mine, others || !mine
		}
	}
	return ours, others, nil
}

func clsact(link int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

func hasClsact(list []qdisc, link int) bool {
	for _, q := range list {
		if q.link == link && (q.kind == "clsact" || q.kind == "ingress") {
			return true
		}
	}
	return false
}
