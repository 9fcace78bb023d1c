package plumb

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Release makes the VF what it was before, wherever it is: in the pod, whose namespace may be nil where it is gone; on the
// node under the pod's name, where the kernel puts it when its namespace ends; or without a driver. It reads everything
// back. What cannot be had otherwise is had by binding the driver anew, which makes a new interface on the node.
//
// After another boot there is nothing to be made again. The error is a *DirtyError, or one with which the VF could not even
// be looked at.
func (h VFs) Release(ctx context.Context, vf VF, before plan.VFState, pod *kernel.Namespace) error {
	if boot, err := kernel.BootID(); err != nil || boot != before.Boot {
		return err
	}
	problems := h.restore(ctx, vf, before, pod)
	reasons, err := h.dirt(vf, before, pod)
	if err != nil {
		return errors.Join(err, problems)
	}
	if len(reasons) == 0 {
		return nil
	}
	if before.Driver != "" && before.Interface != "" {
		if err := h.bind(ctx, vf, before.Driver, before.DriverOverride); err != nil {
			problems = errors.Join(problems, err)
		}
		problems = errors.Join(problems, h.restore(ctx, vf, before, pod))
		if reasons, err = h.dirt(vf, before, pod); err != nil {
			return errors.Join(err, problems)
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return &DirtyError{Device: vf.String(), Reasons: reasons, Err: problems}
}

// dirt is in what the VF differs.
func (h VFs) dirt(vf VF, before plan.VFState, pod *kernel.Namespace) ([]string, error) {
	now, err := h.lookAtAll(vf, pod)
	if err != nil {
		return nil, err
	}
	reasons := before.Differences(now.state)
	if now.inPod {
		reasons = append(reasons, "its interface is in the pod")
	}
	return reasons, nil
}

// restore tries everything, and returns all that failed. What the PF was told comes before the MAC of the interface, which
// a VF may choose only when its PF has chosen none.
func (h VFs) restore(ctx context.Context, vf VF, before plan.VFState, pod *kernel.Namespace) error {
	failed := []error{h.restoreDriver(ctx, vf, before), h.rdmaHome(vf, before.RDMA, pod)}
	attrs, err := h.bringHome(ctx, vf, before, pod)
	failed = append(failed, err)
	now, err := h.look(vf, nil)
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	failed = append(failed, h.apply(vf, now.pf, now.state, before), h.restoreAdminMAC(vf, now.pf, before, now.state))
	if attrs != nil {
		failed = append(failed, h.restoreInterface(vf, before, attrs.Index))
	}
	return errors.Join(failed...)
}

func (h VFs) restoreDriver(ctx context.Context, vf VF, before plan.VFState) error {
	driver, err := h.Driver(vf.PCIAddress)
	if err != nil {
		return err
	}
	override, err := h.override(vf.PCIAddress)
	if err != nil || driver == before.Driver && override == before.DriverOverride {
		return err
	}
	return h.bind(ctx, vf, before.Driver, before.DriverOverride)
}

// bringHome returns the interface on the node, nil if there is to be none. One that is neither there nor in the pod is in a
// namespace that nobody knows: it ends with its driver, and a new one is made on the node.
func (h VFs) bringHome(ctx context.Context, vf VF, before plan.VFState, pod *kernel.Namespace) (*netlink.LinkAttrs, error) {
	if before.Interface == "" {
		return nil, nil
	}
	attrs, inPod, err := h.locate(vf, pod)
	if err != nil {
		return nil, err
	}
	if inPod {
		if err := h.checkpoint("home"); err != nil {
			return nil, err
		}
		if err := moveLink(pod, attrs.Index, h.Node, before.Interface, before.Alias, 0); err != nil {
			return nil, fmt.Errorf("%s: move its interface back to the node as %s: %w", vf, before.Interface, err)
		}
	}
	if attrs == nil {
		if err := h.bind(ctx, vf, before.Driver, before.DriverOverride); err != nil {
			return nil, err
		}
	}
	return h.awaitInterface(ctx, vf.PCIAddress)
}

// restoreAdminMAC takes the PF's word back first: 0 lets the VF choose again, with drivers that know this. Where the PF
// knew a MAC that was not the VF's own choice, that is told again.
func (h VFs) restoreAdminMAC(vf VF, pf *netlink.LinkAttrs, before, now plan.VFState) error {
	if now.AdminMAC == before.AdminMAC || now.AdminMAC == plan.NoMAC {
		return nil
	}
	want := before.AdminMAC
	if before.AdminMAC == before.MAC {
		want = plan.NoMAC
	}
	mac, err := net.ParseMAC(want)
	if err != nil {
		return fmt.Errorf("%s: the MAC that its PF knew: %w", vf, err)
	}
	return h.setAdminMAC(vf, pf, mac)
}

// restoreInterface makes the interface on the node what it was, down.
func (h VFs) restoreInterface(vf VF, before plan.VFState, index int) error {
	link, err := h.Node.Handle().LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("%s: look up its interface: %w", vf, err)
	}
	attrs := link.Attrs()
	var now plan.VFState
	addInterface(&now, attrs)
	handle, target := h.Node.Handle(), byIndex(index)
	var failed []error
	restore := func(attribute, wanted string, differs bool, set func() error) {
		if !differs {
			return
		}
		err := h.checkpoint("interface " + attribute)
		if err == nil {
			err = set()
		}
		if err != nil {
			failed = append(failed, refused(vf, attribute, wanted, true, err))
		}
	}
	restore("state", "down", isUp(attrs), func() error { return handle.LinkSetDown(target) })
	restore("interface", before.Interface, now.Interface != before.Interface, func() error { return handle.LinkSetName(target, before.Interface) })
	restore("mtu", fmt.Sprint(before.MTU), now.MTU != before.MTU, func() error { return handle.LinkSetMTU(target, before.MTU) })
	restore("txqueuelen", fmt.Sprint(before.TxQueueLength), now.TxQueueLength != before.TxQueueLength,
		func() error { return handle.LinkSetTxQLen(target, before.TxQueueLength) })
	restore("alias", before.Alias, now.Alias != before.Alias, func() error { return handle.LinkSetAlias(target, before.Alias) })
	restore("promiscuous mode", "off", now.Promiscuous && !before.Promiscuous, func() error { return handle.SetPromiscOff(target) })
	restore("all multicast", "off", now.AllMulticast && !before.AllMulticast, func() error { return handle.LinkSetAllmulticastOff(target) })
	restore("XDP program", "none", now.XDP && !before.XDP, func() error { return h.Node.Do(func() error { return netlink.LinkSetXdpFd(link, -1) }) })
	mac, err := net.ParseMAC(before.MAC)
	failed = append(failed, err)
	restore("mac", before.MAC, now.MAC != before.MAC && err == nil, func() error { return handle.LinkSetHardwareAddr(target, mac) })
	return errors.Join(failed...)
}
