package plumb

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// vfMark is the alias of a VF's interface as long as it is a pod's. Links of the group that marks others are removed all
// at once, which the kernel refuses altogether where a VF is among them.
const vfMark = "multinet.dev/vf"

// Move puts the VF's interface into the pod under a name, down, with our mark. With mtu 0 it keeps the MTU that it has.
// An interface that is in the pod already is made right there. moved tells that it was on the node.
//
// The error is ErrNameTaken, a *VFError, or one of the kernel.
func (h VFs) Move(vf VF, pod *kernel.Namespace, name string, mtu int) (link Link, moved bool, err error) {
	if taken, found, err := FindLink(pod, name); err != nil {
		return Link{}, false, err
	} else if found && taken.PCIAddress != vf.PCIAddress {
		return Link{}, false, ErrNameTaken
	}
	attrs, inPod, err := h.locate(vf, pod)
	if err != nil {
		return Link{}, false, fmt.Errorf("%s: look up its interface: %w", vf, err)
	}
	if attrs == nil {
		return Link{}, false, h.noInterface(vf)
	}
	if err := h.checkpoint("move"); err != nil {
		return Link{}, false, err
	}
	if inPod {
		err = settleInPod(vf, pod, attrs, name, mtu)
	} else {
		err = moveLink(h.Node, attrs.Index, pod, name, vfMark, mtu)
	}
	if err != nil {
		return Link{}, !inPod, h.explainMove(vf, name, mtu, err)
	}
	link, err = foundLink(pod, name)
	return link, !inPod, err
}

// settleInPod makes right what a move that was cut short, or the pod, left wrong.
func settleInPod(vf VF, pod *kernel.Namespace, attrs *netlink.LinkAttrs, name string, mtu int) error {
	if attrs.Name == name && attrs.Alias == vfMark && (mtu == 0 || attrs.MTU == mtu) {
		return nil
	}
	if attrs.Name != name && isUp(attrs) {
		// Kernels before 6.2 rename no interface that is up.
		if err := pod.Handle().LinkSetDown(byIndex(attrs.Index)); err != nil {
			return fmt.Errorf("%s: set %s down for its new name: %w", vf, attrs.Name, err)
		}
	}
	return moveLink(pod, attrs.Index, nil, name, vfMark, mtu)
}

// moveLink moves a link, renames it and marks it in one request; to may be nil. The kernel closes a link that it moves. It
// moves first, and looks whether the old name is free there only if it may not take the new one at once.
func moveLink(from *kernel.Namespace, index int, to *kernel.Namespace, name, alias string, mtu int) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	if to != nil {
		request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(to.FD()))))
	}
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	if mtu != 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	}
	return from.Do(func() error { return kernel.Execute(request) })
}

func (h VFs) explainMove(vf VF, name string, mtu int, err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) {
		return &VFError{VF: vf, Attribute: "mtu", Wanted: fmt.Sprint(mtu), Err: err,
			Meaning: "the driver of the VF or its PF does not take it: lower the Network's spec.mtu or raise that of the PF"}
	}
	if errors.Is(err, unix.EEXIST) {
		return ErrNameTaken
	}
	return fmt.Errorf("%s: move its interface into the pod as %s: %w", vf, name, err)
}

// noInterface tells why a VF has no interface that could be moved.
func (h VFs) noInterface(vf VF) error {
	driver, err := h.Driver(vf.PCIAddress)
	if err != nil {
		return fmt.Errorf("%s: read its driver: %w", vf, err)
	}
	if driver == "" {
		return fmt.Errorf("%s has no driver, and so no interface", vf)
	}
	return fmt.Errorf("%s has no interface on the node: its driver is %s, or the interface is in another namespace", vf, driver)
}
