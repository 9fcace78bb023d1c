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
	link, err := h.Node.Handle().LinkByName(nic)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		err = ErrUplinkMissing
	}
	if err != nil {
		return plan.NICState{}, "", fmt.Errorf("NIC %s: %w", nic, err)
	}
	if state, err = nicState(link); err != nil {
		return plan.NICState{}, "", err
	}
	inUse, err = h.inUse(link.Attrs())
	return state, inUse, err
}

// At returns the name that a NIC or VF has on the node, by its PCI address, and "" where it has no interface there.
func (h NICs) At(pciAddress string) (nic string, err error) {
	attrs, err := interfaceIn(h.Node, pciAddress)
	if err != nil || attrs == nil {
		return "", err
	}
	return attrs.Name, nil
}

func nicState(link netlink.Link) (plan.NICState, error) {
	boot, err := kernel.BootID()
	attrs := link.Attrs()
	return plan.NICState{
		Boot: boot, Interface: attrs.Name, Kind: link.Type(), Parent: parentOf(link),
		MAC: plan.HardwareAddr(slices.Clone(attrs.HardwareAddr)), MTU: attrs.MTU, TxQueueLength: attrs.TxQLen, Alias: attrs.Alias, Up: isUp(attrs),
		Promiscuous: attrs.RawFlags&unix.IFF_PROMISC != 0, AllMulticast: attrs.RawFlags&unix.IFF_ALLMULTI != 0,
		XDP: attrs.Xdp != nil && attrs.Xdp.Attached,
	}, err
}

// parentOf is the hardware behind a link, such as "pci/0000:3b:00.1", which Linux tells since 5.14; "" where there is none.
func parentOf(link netlink.Link) string {
	attrs := link.Attrs()
	if attrs.ParentDev == "" {
		return ""
	}
	return attrs.ParentDevBus + "/" + attrs.ParentDev
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
func (h NICs) InPod(device plan.HostDevice, pod *kernel.Namespace) (bool, error) {
	links, err := h.links(pod)
	return inPod(device, links) != nil, err
}

// Move puts a NIC into the pod under a name, with a MAC, down, with our mark. With mtu 0 it keeps the MTU that it has. One that is
// in the pod already is made right there, and left up where it is right. What it was before must be known.
//
// The error is ErrNameTaken, ErrNICGone, or one of the kernel.
func (h NICs) Move(device plan.HostDevice, pod *kernel.Namespace, name string, mac net.HardwareAddr, mtu int) (Link, error) {
	nic := device.Interface
	found, inPod, err := h.locate(device, pod)
	if err != nil {
		return Link{}, err
	}
	if found == nil {
		return Link{}, fmt.Errorf("NIC %s: %w", nic, ErrNICGone)
	}
	if taken, is, err := FindLink(pod, name); err != nil {
		return Link{}, err
	} else if is && (!inPod || taken.Index != found.Attrs().Index) {
		return Link{}, ErrNameTaken
	}
	if err := h.settle(nic, found.Attrs(), inPod, pod, name, mac, mtu); err != nil {
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
		right := attrs.Name == name && (mtu == 0 || attrs.MTU == mtu) && attrs.HardwareAddr.String() == mac.String()
		if right && attrs.Alias == mark {
			return nil
		}
		if right {
			return pod.Handle().LinkSetAlias(byIndex(attrs.Index), mark)
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
// then takes the mark away: a NIC that has its name and no mark was not moved, or is another one.
//
// After another boot there is nothing to be made again. The error is ErrNICGone, a *DirtyError, or one with which the NIC could not
// even be looked at.
func (h NICs) Release(ctx context.Context, device plan.HostDevice, pod *kernel.Namespace) error {
	nic, before := device.Interface, *device.Before
	if boot, err := kernel.BootID(); err != nil || boot != before.Boot {
		return err
	}
	found, inPod, err := h.locate(device, pod)
	if err == nil && found == nil && pod == nil {
		found, err = h.awaitHome(ctx, device)
	}
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("NIC %s: %w", nic, ErrNICGone)
	}
	attrs := found.Attrs()
	if _, marked := plan.MarkedNIC(attrs.Alias); !inPod && !marked && attrs.Name == nic {
		return nil
	}
	if inPod {
		err := h.checkpoint("home")
		if err == nil {
			err = moveLink(pod, attrs.Index, h.Node, nic, plan.NICMark(nic), 0)
		}
		if err != nil {
			return &DirtyError{Device: "NIC " + nic, Reasons: []string{"it is in the pod"}, Err: fmt.Errorf("move it back to the node: %w", err)}
		}
		if found, err = h.onNode(device); err != nil || found == nil {
			return errors.Join(err, fmt.Errorf("NIC %s vanished when it came back to the node", nic))
		}
	}
	return h.restore(device, found)
}

// restore makes a NIC on the node what it was. It tries everything. The link comes up when the rest is right.
func (h NICs) restore(device plan.HostDevice, found netlink.Link) error {
	nic, before, attrs := device.Interface, *device.Before, found.Attrs()
	now, err := nicState(found)
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
	changed := len(before.Differences(now)) > 0
	restore("link", changed && now.Up, func() error { return handle.LinkSetDown(target) })
	restore("name", attrs.Name != nic, func() error { return handle.LinkSetName(target, nic) })
	restore("MTU", now.MTU != before.MTU, func() error { return handle.LinkSetMTU(target, before.MTU) })
	restore("txqueuelen", now.TxQueueLength != before.TxQueueLength, func() error { return handle.LinkSetTxQLen(target, before.TxQueueLength) })
	restore("promiscuous mode", now.Promiscuous && !before.Promiscuous, func() error { return handle.SetPromiscOff(target) })
	restore("all multicast", now.AllMulticast && !before.AllMulticast, func() error { return handle.LinkSetAllmulticastOff(target) })
	restore("XDP program", now.XDP && !before.XDP, func() error { return h.Node.Do(func() error { return netlink.LinkSetXdpFd(target, -1) }) })
	restore("MAC", now.MAC.String() != before.MAC.String(), func() error { return handle.LinkSetHardwareAddr(target, net.HardwareAddr(before.MAC)) })
	restore("link", changed && before.Up, func() error { return handle.LinkSetUp(target) })
	if found, err = handle.LinkByIndex(attrs.Index); err != nil {
		return errors.Join(append(failed, fmt.Errorf("NIC %s: look at it again: %w", nic, err))...)
	}
	if now, err = nicState(found); err != nil {
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
func (h NICs) locate(device plan.HostDevice, pod *kernel.Namespace) (found netlink.Link, isInPod bool, err error) {
	if pod != nil {
		links, err := h.links(pod)
		if err != nil {
			return nil, false, err
		}
		if found := inPod(device, links); found != nil {
			return found, true, nil
		}
	}
	found, err = h.onNode(device)
	return found, false, err
}

// awaitHome waits for the kernel, which ends a namespace some time after nobody has it any more.
func (h NICs) awaitHome(ctx context.Context, device plan.HostDevice) (netlink.Link, error) {
	limit := h.Settle
	if limit == 0 {
		limit = 10 * time.Second
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if found, err := h.onNode(device); err != nil || found != nil {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("NIC %s has not come back to the node: %w", device.Interface, ctx.Err())
		case <-end.C:
			return nil, nil
		case <-tick.C:
		}
	}
}

func (h NICs) onNode(device plan.HostDevice) (netlink.Link, error) {
	links, err := h.links(h.Node)
	if err != nil {
		return nil, err
	}
	return onNode(device, links), nil
}

func (h NICs) links(ns *kernel.Namespace) ([]netlink.Link, error) {
	links, err := kernel.Dump(ns.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

// inPod finds a NIC among the links of a pod. A pod with NET_ADMIN can take the mark away, or put it on a link that it has made: what
// is behind the NIC it cannot, and where nothing is, the link is at least of the kind that the NIC is of.
func inPod(device plan.HostDevice, links []netlink.Link) netlink.Link {
	candidates := like(device, links)
	if device.Before.Parent != "" && len(candidates) == 1 {
		return candidates[0]
	}
	return withMark(device.Interface, candidates)
}

// onNode finds a NIC among the links of the node: by its mark before its name, which another interface may have got meanwhile, and
// hardware without either that came home from a pod which took the mark away.
func onNode(device plan.HostDevice, links []netlink.Link) netlink.Link {
	candidates := like(device, links)
	if found := withMark(device.Interface, candidates); found != nil {
		return found
	}
	for _, link := range candidates {
		if link.Attrs().Name == device.Interface {
			return link
		}
	}
	if device.Before.Parent != "" && len(candidates) == 1 {
		return candidates[0]
	}
	return nil
}

// like are the links that may be the NIC. Cards with several ports at one PCI address have several with one parent.
func like(device plan.HostDevice, links []netlink.Link) (candidates []netlink.Link) {
	for _, link := range links {
		if link.Type() == device.Before.Kind && parentOf(link) == device.Before.Parent {
			candidates = append(candidates, link)
		}
	}
	return candidates
}

func withMark(nic string, links []netlink.Link) netlink.Link {
	for _, link := range links {
		if name, is := plan.MarkedNIC(link.Attrs().Alias); is && name == nic {
			return link
		}
	}
	return nil
}
