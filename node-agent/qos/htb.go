package qos

import (
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// classChanges are what classes and queues of one link still lack, in the order in which the kernel is told, with a few system
// calls for all of them: a class that many pods have changes for all at once.
type classChanges struct {
	link     int
	messages []kernel.Message
	// steps say what each message is for.
	steps []string
}

// changesFor are those that bring the classes of a link to a tree. Classes that are there are changed in place, without loss. None
// is removed: see pruneClasses.
func changesFor(link, mtu int, want tree, found map[uint16]*netlink.HtbClass, queues map[uint16]qdisc) classChanges {
	c := classChanges{link: link}
	c.class(handle(0), want.root, found)
	for _, leaf := range want.leaves {
		c.class(handle(minorRoot), leaf, found)
		if queue := leaf.queue(queues[leaf.minor], mtu); !sameQueue(queue, queues[leaf.minor]) {
			c.queue(leaf.minor, queue)
		}
	}
	return c
}

func (c *classChanges) add(step string, kind, flags uint16, body []byte) {
	c.steps = append(c.steps, step)
	c.messages = append(c.messages, kernel.Message{Type: kind, Flags: flags, Body: body})
}

func (c *classChanges) class(parent uint32, want class, found map[uint16]*netlink.HtbClass) {
	wanted, present := want.htb(c.link, parent), found[want.minor]
	if present != nil && same(wanted, present) {
		return
	}
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if present != nil {
		flags = 0
	}
	c.add(fmt.Sprintf("class %x", want.minor), unix.RTM_NEWTCLASS, flags, classBody(wanted))
}

// remove removes a class that no program names any more. What waits in its queue is lost.
func (c *classChanges) remove(found *netlink.HtbClass) {
	message := nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(c.link), Parent: found.Parent, Handle: found.Handle} //nolint:gosec // An index.
	c.add("remove class "+netlink.HandleStr(found.Handle), unix.RTM_DELTCLASS, 0, message.Serialize())
}

// send tells the kernel. The error is that of the first message that was refused; what is gone need not be removed.
func (c *classChanges) send(node *kernel.Namespace) error {
	refused, err := node.Batch(c.messages)
	if err != nil {
		return err
	}
	for _, r := range refused {
		if c.messages[r.Index].Type == unix.RTM_DELTCLASS && gone(r.Err) {
			continue
		}
		return explained(c.steps[r.Index], r.Err)
	}
	return nil
}

// classBody is a class as the kernel reads it. The tables of the time that packets take, which the library sends along, are for
// kernels that do not compute it.
func classBody(c *netlink.HtbClass) []byte {
	rate := func(bytes uint64) nl.TcRateSpec {
		return nl.TcRateSpec{Linklayer: nl.LINKLAYER_ETHERNET, Rate: uint32(min(bytes, math.MaxUint32))}
	}
	parameters := nl.TcHtbCopt{Rate: rate(c.Rate), Ceil: rate(c.Ceil), Buffer: c.Buffer, Cbuffer: c.Cbuffer, Quantum: c.Quantum, Prio: c.Prio}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_HTB_PARMS, parameters.Serialize())
	for attribute, bytes := range map[int]uint64{nl.TCA_HTB_RATE64: c.Rate, nl.TCA_HTB_CEIL64: c.Ceil} {
		if bytes > math.MaxUint32 {
			options.AddRtAttr(attribute, nl.Uint64Attr(bytes))
		}
	}
	message := nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(c.LinkIndex), Parent: c.Parent, Handle: c.Handle} //nolint:gosec // An index.
	body := append(message.Serialize(), nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("htb")).Serialize()...)
	return append(body, options.Serialize()...)
}

func (c class) htb(link int, parent uint32) *netlink.HtbClass {
	return netlink.NewHtbClass(
		netlink.ClassAttrs{LinkIndex: link, Parent: parent, Handle: handle(c.minor)},
		netlink.HtbClassAttrs{Rate: c.rate, Ceil: c.ceil, Buffer: c.burst, Cbuffer: c.cburst, Quantum: c.quantum, Prio: c.prio})
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

// pruneClasses removes those of the classes found that the tree does not have, and returns what they had counted.
func pruneClasses(node *kernel.Namespace, link int, want tree, found map[uint16]*netlink.HtbClass) (removed []*netlink.HtbClass, err error) {
	keep := map[uint16]bool{minorRoot: true}
	for _, leaf := range want.leaves {
		keep[leaf.minor] = true
	}
	changes := classChanges{link: link}
	for minor, c := range found {
		if !keep[minor] {
			changes.remove(c)
			removed = append(removed, c)
			delete(found, minor)
		}
	}
	if err := changes.send(node); err != nil {
		return nil, err
	}
	return removed, nil
}

func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
