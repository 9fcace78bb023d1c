package plumb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// ErrNICGone tells that a NIC is neither on the node nor in the pod: it was pulled, or it was no hardware and ended with the
// namespace that it was in.
var ErrNICGone = errors.New("the NIC is neither on the node nor in the pod")

// NICs lends whole NICs of a node to pods. It keeps nothing: what is true stands in the kernel.
type NICs struct {
	Node *kernel.Namespace
	// Settle bounds how long the kernel may take to bring a NIC home whose namespace has ended; 10 s if 0.
	Settle time.Duration

	// before is called ahead of each change; tests fail there.
	before func(change string) error
}

// State reads a NIC on the node, and InUse tells, as a clause, what of the node needs it; "" for nothing. The error is
// ErrUplinkMissing or one of the kernel.
func (h NICs) State(nic string) (state plan.NICState, inUse string, err error) {
	attrs, err := h.onNode(nic)
	if err == nil && attrs == nil {
		err = fmt.Errorf("NIC %s: %w", nic, ErrUplinkMissing)
	}
	if err != nil {
		return plan.NICState{}, "", err
	}
	if state, err = nicState(attrs); err != nil {
		return plan.NICState{}, "", err
	}
	inUse, err = h.inUse(attrs)
	return state, inUse, err
}

func nicState(attrs *netlink.LinkAttrs) (plan.NICState, error) {
	boot, err := kernel.BootID()
	return plan.NICState{
		Boot: boot, MAC: plan.HardwareAddr(slices.Clone(attrs.HardwareAddr)), MTU: attrs.MTU, TxQueueLength: attrs.TxQLen, Alias: attrs.Alias, Up: isUp(attrs),
		Promiscuous: attrs.RawFlags&unix.IFF_PROMISC != 0, AllMulticast: attrs.RawFlags&unix.IFF_ALLMULTI != 0,
		XDP: attrs.Xdp != nil && attrs.Xdp.Attached,
	}, err
}

// inUse looks for what would be cut off. Links on the NIC in other namespaces cannot be seen from here; they live on.
func (h NICs) inUse(nic *netlink.LinkAttrs) (string, error) {
	if marked, is := plan.MarkedNIC(nic.Alias); is {
		return "it has the mark of a pod's, as NIC " + marked, nil
	}
	if len(nic.Vfs) > 0 {
		return fmt.Sprintf("its %d virtual functions need it: set sriov_numvfs to 0, or give pods those", len(nic.Vfs)), nil
	}
	addresses, err := AllAddresses(h.Node)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(addresses[nic.Index], func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() }); i >= 0 {
		return fmt.Sprintf("the node has address %s on it", addresses[nic.Index][i]), nil
	}
	links, err := h.links(h.Node)
	if err != nil {
		return "", err
	}
	for _, link := range links {
		if attrs := link.Attrs(); attrs.ParentIndex == nic.Index && attrs.NetNsID < 0 && link.Type() != "veth" {
			return fmt.Sprintf("interface %s of the node is on it", attrs.Name), nil
		}
	}
	return "", nil
}

// InPod tells whether the pod has the NIC.
func (h NICs) InPod(nic string, pod *kernel.Namespace) (bool, error) {
	links, err := h.links(pod)
	return marked(nic, links) != nil, err
}

// Move puts a NIC into the pod under a name, with a MAC, down, with our mark. With mtu 0 it keeps the MTU that it has. One that is
// in the pod already is made right there, and left up where it is right.
//
// The error is ErrNameTaken, ErrNICGone, or one of the kernel.
func (h NICs) Move(nic string, pod *kernel.Namespace, name string, mac net.HardwareAddr, mtu int) (Link, error) {
	if taken, found, err := FindLink(pod, name); err != nil {
		return Link{}, err
	} else if found && taken.NIC != nic {
		return Link{}, ErrNameTaken
	}
	attrs, inPod, err := h.locate(nic, pod)
	if err != nil {
		return Link{}, err
	}
	if attrs == nil {
		return Link{}, fmt.Errorf("NIC %s: %w", nic, ErrNICGone)
	}
	if err := h.settle(nic, attrs, inPod, pod, name, mac, mtu); err != nil {
		return Link{}, err
	}
	link, err := foundLink(pod, name)
	if err != nil || link.MAC.String() == mac.String() {
		return link, err
	}
	if err = h.checkpoint("mac"); err == nil {
		err = pod.Handle().LinkSetHardwareAddr(byIndex(link.Index), mac)
	}
	if err != nil {
		return Link{}, fmt.Errorf("NIC %s: set its MAC to %s: %w", nic, mac, err)
	}
	return foundLink(pod, name)
}

// settle moves a NIC, or makes right what a move that was cut short, or the pod, left wrong. The mark comes first, by a request of its
// own: one that fails halfway, as for an MTU, may have moved the NIC. What is not right in the pod is set down, since not every driver
// takes a MAC, nor kernels before 6.2 a name, while the interface is up.
func (h NICs) settle(nic string, attrs *netlink.LinkAttrs, inPod bool, pod *kernel.Namespace, name string, mac net.HardwareAddr, mtu int) error {
	from, to, mark := h.Node, pod, plan.NICMark(nic)
	if !inPod && attrs.Alias != mark {
		err := h.checkpoint("mark")
		if err == nil {
			err = h.Node.Handle().LinkSetAlias(byIndex(attrs.Index), mark)
		}
		if err != nil {
			return fmt.Errorf("NIC %s: mark it: %w", nic, err)
		}
	}
	if inPod {
		if attrs.Name == name && (mtu == 0 || attrs.MTU == mtu) && attrs.HardwareAddr.String() == mac.String() {
			return nil
		}
		if err := pod.Handle().LinkSetDown(byIndex(attrs.Index)); err != nil {
			return fmt.Errorf("NIC %s: set %s down: %w", nic, attrs.Name, err)
		}
		from, to = pod, nil
	}
	if err := h.checkpoint("move"); err != nil {
		return err
	}
	if err := moveLink(from, attrs.Index, to, name, mark, mtu); err != nil {
		return explainNIC(nic, name, mtu, err)
	}
	return nil
}

func (h NICs) checkpoint(change string) error {
	if h.before == nil {
		return nil
	}
	return h.before(change)
}

func explainNIC(nic, name string, mtu int, err error) error {
	switch {
	case errors.Is(err, unix.EEXIST):
		return ErrNameTaken
	case mtu != 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE)):
		return fmt.Errorf("NIC %s: move it into the pod as %s: its driver does not take MTU %d: lower the Network's spec.mtu: %w", nic, name, mtu, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("NIC %s: move it into the pod as %s: its driver lets it be in the namespace of the node alone: %w", nic, name, err)
	}
	return fmt.Errorf("NIC %s: move it into the pod as %s: %w", nic, name, err)
}

// Release makes a NIC what it was before, wherever it is: in the pod, whose namespace may be nil where it is gone, or on the node under
// the name that it had in the pod or another, where the kernel puts hardware when a namespace ends. It reads everything back, and only
// then takes the mark away: a NIC of the name without a mark was not moved, or is another one.
//
// After another boot there is nothing to be made again. The error is ErrNICGone, a *DirtyError, or one with which the NIC could not
// even be looked at.
func (h NICs) Release(ctx context.Context, nic string, before plan.NICState, pod *kernel.Namespace) error {
	if boot, err := kernel.BootID(); err != nil || boot != before.Boot {
		return err
	}
	attrs, inPod, err := h.locate(nic, pod)
	if err == nil && attrs == nil && pod == nil {
		attrs, err = h.awaitHome(ctx, nic)
	}
	if err != nil {
		return err
	}
	if attrs == nil {
		return fmt.Errorf("NIC %s: %w", nic, ErrNICGone)
	}
	if _, marked := plan.MarkedNIC(attrs.Alias); !marked {
		return nil
	}
	if inPod {
		err := h.checkpoint("home")
		if err == nil {
			err = moveLink(pod, attrs.Index, h.Node, nic, attrs.Alias, 0)
		}
		if err != nil {
			return &DirtyError{Device: "NIC " + nic, Reasons: []string{"it is in the pod"}, Err: fmt.Errorf("move it back to the node: %w", err)}
		}
		if attrs, err = h.onNode(nic); err != nil || attrs == nil {
			return errors.Join(err, fmt.Errorf("NIC %s vanished when it came back to the node", nic))
		}
	}
	return h.restore(nic, before, attrs)
}

// restore makes a NIC on the node what it was. It tries everything. The link comes up when the rest is right.
func (h NICs) restore(nic string, before plan.NICState, attrs *netlink.LinkAttrs) error {
	now, err := nicState(attrs)
	if err != nil {
		return err
	}
	handle, target := h.Node.Handle(), byIndex(attrs.Index)
	var failed []error
	restore := func(attribute string, differs bool, set func() error) {
		if !differs {
			return
		}
		err := h.checkpoint(attribute)
		if err == nil {
			err = set()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("restore its %s: %w", attribute, err))
		}
	}
	now.Alias = before.Alias
	changed := attrs.Name != nic || len(before.Differences(now)) > 0
	restore("link", changed && now.Up, func() error { return handle.LinkSetDown(target) })
	restore("name", attrs.Name != nic, func() error { return handle.LinkSetName(target, nic) })
	restore("MTU", now.MTU != before.MTU, func() error { return handle.LinkSetMTU(target, before.MTU) })
	restore("txqueuelen", now.TxQueueLength != before.TxQueueLength, func() error { return handle.LinkSetTxQLen(target, before.TxQueueLength) })
	restore("promiscuous mode", now.Promiscuous && !before.Promiscuous, func() error { return handle.SetPromiscOff(target) })
	restore("all multicast", now.AllMulticast && !before.AllMulticast, func() error { return handle.LinkSetAllmulticastOff(target) })
	restore("XDP program", now.XDP && !before.XDP, func() error { return h.Node.Do(func() error { return netlink.LinkSetXdpFd(target, -1) }) })
	restore("MAC", now.MAC.String() != before.MAC.String(), func() error { return handle.LinkSetHardwareAddr(target, net.HardwareAddr(before.MAC)) })
	restore("link", changed && before.Up, func() error { return handle.LinkSetUp(target) })
	if attrs, err = h.onNode(nic); err != nil {
		return errors.Join(append(failed, err)...)
	}
	if attrs == nil || attrs.Name != nic {
		return &DirtyError{Device: "NIC " + nic, Reasons: []string{"it does not have its name"}, Err: errors.Join(failed...)}
	}
	if now, err = nicState(attrs); err != nil {
		return err
	}
	now.Alias = before.Alias
	if reasons := before.Differences(now); len(reasons) > 0 {
		return &DirtyError{Device: "NIC " + nic, Reasons: reasons, Err: errors.Join(failed...)}
	}
	if err = h.checkpoint("alias"); err == nil {
		err = handle.LinkSetAlias(target, before.Alias)
	}
	if err != nil {
		return fmt.Errorf("NIC %s: restore its alias: %w", nic, err)
	}
	return nil
}

// locate finds a NIC in the pod or on the node; nil where it is in neither.
func (h NICs) locate(nic string, pod *kernel.Namespace) (attrs *netlink.LinkAttrs, inPod bool, err error) {
	if pod != nil {
		links, err := h.links(pod)
		if err != nil {
			return nil, false, err
		}
		if attrs := marked(nic, links); attrs != nil {
			return attrs, true, nil
		}
	}
	attrs, err = h.onNode(nic)
	return attrs, false, err
}

// awaitHome waits for the kernel, which ends a namespace some time after nobody has it any more.
func (h NICs) awaitHome(ctx context.Context, nic string) (*netlink.LinkAttrs, error) {
	limit := h.Settle
	if limit == 0 {
		limit = 10 * time.Second
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if attrs, err := h.onNode(nic); err != nil || attrs != nil {
			return attrs, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("NIC %s has not come back to the node: %w", nic, ctx.Err())
		case <-end.C:
			return nil, nil
		case <-tick.C:
		}
	}
}

// onNode finds a NIC by its mark before it looks for the name, which another interface may have got meanwhile.
func (h NICs) onNode(nic string) (*netlink.LinkAttrs, error) {
	links, err := h.links(h.Node)
	if err != nil {
		return nil, err
	}
	if attrs := marked(nic, links); attrs != nil {
		return attrs, nil
	}
	for _, link := range links {
		if link.Attrs().Name == nic {
			return link.Attrs(), nil
		}
	}
	return nil, nil
}

func (h NICs) links(ns *kernel.Namespace) ([]netlink.Link, error) {
	links, err := kernel.Dump(ns.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

func marked(nic string, links []netlink.Link) *netlink.LinkAttrs {
	for _, link := range links {
		if name, is := plan.MarkedNIC(link.Attrs().Alias); is && name == nic {
			return link.Attrs()
		}
	}
	return nil
}
