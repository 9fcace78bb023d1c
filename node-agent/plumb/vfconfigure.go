package plumb

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Configure tells the PF what a Network asks for, and gives the VF its MAC. What is so already is left alone, so that it
// costs two readings where it has been done before. All of it is read back. The interface is on the node afterwards even if it
// was in the pod, where its driver had to be bound anew for the MAC.
//
// pod may be nil. The error joins a *VFError for each attribute that cannot be had.
func (h VFs) Configure(ctx context.Context, vf VF, settings plan.VFSettings, mac net.HardwareAddr, pod *kernel.Namespace) error {
	seen, err := h.look(vf, pod)
	if err != nil {
		return err
	}
	want := wanted(seen.state, settings)
	if err := h.apply(vf, seen.pf, seen.state, want); err != nil {
		return err
	}
	if err := h.ensureMAC(ctx, vf, seen, mac); err != nil {
		return err
	}
	want.AdminMAC = mac.String()
	return h.verify(vf, want, pod)
}

// Check returns how the PF's settings of a VF differ from what it was told, or "".
func (h VFs) Check(vf VF, settings plan.VFSettings, mac net.HardwareAddr) (string, error) {
	info, _, err := h.info(vf)
	if err != nil {
		return "", err
	}
	is := told(info)
	if is.AdminMAC != mac.String() {
		return fmt.Sprintf("PF %s has MAC %s for VF %d instead of %s", vf.PF, is.AdminMAC, vf.Index, mac), nil
	}
	want := wanted(is, settings)
	for _, a := range vfAttributes(is, want) {
		if a.differs {
			return fmt.Sprintf("PF %s has another %s for VF %d than %v", vf.PF, a.name, vf.Index, a.wanted), nil
		}
	}
	return "", nil
}

// verify compares what the PF was told with what it says.
func (h VFs) verify(vf VF, want plan.VFState, pod *kernel.Namespace) error {
	seen, err := h.look(vf, pod)
	if err != nil {
		return err
	}
	is := seen.state
	var failed []error
	for _, a := range vfAttributes(is, want) {
		if a.differs {
			failed = append(failed, refused(vf, a.name, a.wanted, true, ErrNotKept))
		}
	}
	if is.AdminMAC != want.AdminMAC || is.MAC != want.AdminMAC && is.Interface != "" {
		failed = append(failed, &VFError{VF: vf, Attribute: "mac", Wanted: want.AdminMAC, Err: ErrNotKept,
			Meaning: fmt.Sprintf("the PF says %s and the interface has %s", is.AdminMAC, is.MAC)})
	}
	return errors.Join(failed...)
}

// ensureMAC tells the PF the MAC, and then sees to it that the VF's interface has it: what the two differ in is dropped by
// the card, silently.
func (h VFs) ensureMAC(ctx context.Context, vf VF, seen view, mac net.HardwareAddr) error {
	want, now := mac.String(), seen.state
	if now.AdminMAC == want && (now.MAC == want || now.Interface == "") {
		return nil
	}
	if !isUp(seen.pf) {
		// igb takes the MAC, but the VF's driver then cannot ask for it, and makes one up.
		return refused(vf, "mac", want, false, unix.ENETDOWN)
	}
	if now.AdminMAC != want {
		if err := h.setAdminMAC(vf, seen.pf, mac); err != nil {
			return err
		}
	}
	if seen.link == nil || now.MAC == want || !seen.inPod && answersForMAC(vf) && h.setInterfaceMAC(vf, seen.link, mac) == nil {
		return nil
	}
	name := ""
	if !seen.inPod {
		name = seen.link.Name
	}
	return h.rebindForMAC(ctx, vf, want, name)
}

// answersForMAC tells whether the PF's driver lets a VF take the very MAC that it was told for it. igb does not (Linux 6.12,
// igb_rcv_msg_from_vf), warns of the attempt in the kernel's log, and makes the VF's driver wait for the answer.
func answersForMAC(vf VF) bool { return vf.PFDriver != "igb" }

func (h VFs) setAdminMAC(vf VF, pf *netlink.LinkAttrs, mac net.HardwareAddr) error {
	if err := h.checkpoint("mac"); err != nil {
		return err
	}
	if err := h.Node.Handle().LinkSetVfHardwareAddr(byIndex(pf.Index), vf.Index, mac); err != nil {
		return refused(vf, "mac", mac, isUp(pf), err)
	}
	return nil
}

// setInterfaceMAC gives the interface the MAC that the PF knows. Some drivers do it, some refuse it, and some say that they
// have done it and did not.
func (h VFs) setInterfaceMAC(vf VF, attrs *netlink.LinkAttrs, mac net.HardwareAddr) error {
	if err := h.checkpoint("interface mac"); err != nil {
		return err
	}
	if err := h.Node.Handle().LinkSetHardwareAddr(byIndex(attrs.Index), mac); err != nil {
		return refused(vf, "mac", mac, true, err)
	}
	link, err := h.Node.Handle().LinkByIndex(attrs.Index)
	if err != nil {
		return err
	}
	if is := link.Attrs().HardwareAddr.String(); is != mac.String() {
		return refused(vf, "mac", mac, true, ErrNotKept)
	}
	return nil
}

// rebindForMAC makes the VF's driver ask its PF for the MAC, as igbvf and ixgbevf do only when they are bound. The interface
// keeps its name on the node, if it had one there: the name that the kernel gives may be the one that another VF comes home to.
func (h VFs) rebindForMAC(ctx context.Context, vf VF, want, name string) error {
	driver, err := h.Driver(vf.PCIAddress)
	if err != nil {
		return fmt.Errorf("%s: read its driver: %w", vf, err)
	}
	if err := h.bind(ctx, vf, driver, ""); err != nil {
		return err
	}
	attrs, err := h.awaitInterface(ctx, vf.PCIAddress)
	if err != nil {
		return fmt.Errorf("%s: after its driver %s was bound anew: %w", vf, driver, err)
	}
	if is := attrs.HardwareAddr.String(); is != want {
		return &VFError{VF: vf, Attribute: "mac", Wanted: want, Err: ErrNotKept,
			Meaning: fmt.Sprintf("the interface has MAC %s after its driver %s was bound anew", is, driver)}
	}
	if name == "" || attrs.Name == name {
		return nil
	}
	if err := h.checkpoint("interface name"); err != nil {
		return err
	}
	if err := h.Node.Handle().LinkSetName(byIndex(attrs.Index), name); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: name its interface %s again after its driver %s was bound anew: %w", vf, name, driver, err)
	}
	return nil
}
