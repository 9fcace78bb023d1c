package plumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var (
	// ErrNoVXLANSupport tells that the kernel of the node lacks VXLAN.
	ErrNoVXLANSupport = errors.New("the node's kernel has no VXLAN support: load the module vxlan or choose a Network with spec.rackLocal.uplink")
	// ErrOverlayMissing tells that EnsureOverlay has not been called, or that somebody removed the link since.
	ErrOverlayMissing = errors.New("the node has no VXLAN link for it yet: the node agent makes it, and its log tells what hinders it")
)

// OverlayName is the name of our VXLAN link: "mnvx5000".
func OverlayName(vni int) string { return fmt.Sprintf("mnvx%d", vni) }

// EnsureOverlay makes the VXLAN link of an overlay exist in the node's namespace, up. It learns nothing, floods nothing and
// answers for the neighbours that are programmed, so that nothing leaves the node but frames to programmed MACs.
//
// The address that the node sends from, and the MTU, are corrected in place. Any other difference is an error: a link that
// is made anew takes the links of all pods on it along, which only the caller can know not to exist. Links of others are
// never touched. proc is where the sysctls of the link are written, see kernel.Proc.
func EnsureOverlay(node *kernel.Namespace, proc kernel.Proc, o plan.Overlay) (uplink Uplink, created bool, err error) {
	mtu, err := overlayMTU(node, o.Local)
	if err != nil {
		return Uplink{}, false, err
	}
	link, created, err := createOverlay(node, o, mtu)
	if err != nil {
		return Uplink{}, false, err
	}
	if err := repairOverlay(node, proc, link, o, mtu); err != nil {
		return Uplink{}, false, err
	}
	return Uplink{Index: link.Index, MTU: mtu}, created, nil
}

// createOverlay returns the link, which is down if it is new.
func createOverlay(node *kernel.Namespace, o plan.Overlay, mtu int) (*netlink.Vxlan, bool, error) {
	present, err := ownOverlay(node, o)
	if err != nil || present != nil {
		return present, false, err
	}
	errAdd := node.Handle().LinkAdd(newOverlay(o, mtu))
	// Also where it is not created: somebody may have been faster.
	link, err := ownOverlay(node, o)
	switch {
	case err != nil || link != nil:
		return link, err == nil && errAdd == nil, err
	case errAdd != nil:
		return nil, false, explainOverlay(node, o, errAdd)
	}
	return nil, false, fmt.Errorf("VXLAN link %s vanished as soon as it was created", OverlayName(o.VNI))
}

func newOverlay(o plan.Overlay, mtu int) *netlink.Vxlan {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Group = OverlayName(o.VNI), mtu, plan.LinkGroup
	return &netlink.Vxlan{
		LinkAttrs: attrs,
		VxlanId:   o.VNI,
		SrcAddr:   o.Local.AsSlice(),
		Port:      o.Port,
		Learning:  false,
		Proxy:     true,
	}
}

// ownOverlay returns the link of the overlay's name, nil where there is none, and an error where it cannot be used.
func ownOverlay(node *kernel.Namespace, o plan.Overlay) (*netlink.Vxlan, error) {
	name := OverlayName(o.VNI)
	found, err := node.Handle().LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up VXLAN link %s: %w", name, err)
	}
	if found.Attrs().Group != plan.LinkGroup {
		return nil, fmt.Errorf("the node's interface %s exists, but is not Multinet's: rename or remove it", name)
	}
	link, ok := found.(*netlink.Vxlan)
	if !ok {
		return nil, fmt.Errorf("the node's interface %s is a %s link instead of VXLAN: remove it", name, found.Type())
	}
	if differs := overlayMismatch(link, o); differs != "" {
		return nil, fmt.Errorf("VXLAN link %s %s, which cannot be changed: it is made anew when no pod of the node is on it any more, or remove it "+
			"(ip link delete %s), which takes the interfaces of all pods on it away", name, differs, name)
	}
	return link, nil
}

// overlayMismatch returns a clause that tells what cannot be corrected in place, or "".
func overlayMismatch(link *netlink.Vxlan, o plan.Overlay) string {
	switch {
	case link.VxlanId != o.VNI:
		return fmt.Sprintf("has VNI %d instead of %d", link.VxlanId, o.VNI)
	case link.Port != o.Port:
		return fmt.Sprintf("has port %d instead of %d", link.Port, o.Port)
	case link.Learning || !link.Proxy:
		return "learns addresses or does not answer for neighbours"
	case link.VtepDevIndex != 0 || link.Group != nil:
		return "is bound to an interface or a multicast group"
	case (link.SrcAddr.To4() != nil) != o.Local.Is4():
		return fmt.Sprintf("sends from %s instead of %s, of the other IP family", link.SrcAddr, o.Local)
	}
	return ""
}

// repairOverlay corrects what can be changed under the pods on the link.
func repairOverlay(node *kernel.Namespace, proc kernel.Proc, link *netlink.Vxlan, o plan.Overlay, mtu int) error {
	if !link.SrcAddr.Equal(net.IP(o.Local.AsSlice())) {
		if err := node.Do(func() error { return setOverlayLocal(link.Index, o.Local) }); err != nil {
			return fmt.Errorf("have VXLAN link %s send from %s: %w", link.Name, o.Local, err)
		}
	}
	if link.MTU != mtu {
		if err := node.Handle().LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("set the MTU of VXLAN link %s to %d: %w", link.Name, mtu, err)
		}
	}
	if link.Flags&net.FlagUp != 0 {
		return nil
	}
	if err := node.Do(func() error { return quietOverlay(proc, link) }); err != nil {
		return fmt.Errorf("VXLAN link %s: %w", link.Name, err)
	}
	err := SetUp(node, link.Index)
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("a program or another kind of tunnel on the node has UDP port %d: choose another spec.rackLocal.overlay.port: %w", o.Port, err)
	}
	if err != nil {
		return fmt.Errorf("bring VXLAN link %s up: %w", link.Name, err)
	}
	return nil
}

// setOverlayLocal sends nothing but the address: the kernel refuses a change in which any of the fixed flags is named.
func setOverlayLocal(index int, local netip.Addr) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vxlan"))
	attribute := nl.IFLA_VXLAN_LOCAL
	if local.Is6() {
		attribute = nl.IFLA_VXLAN_LOCAL6
	}
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(attribute, local.AsSlice())
	request.AddData(info)
	return kernel.Execute(request)
}
