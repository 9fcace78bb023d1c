package plumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// What VXLAN puts around a frame, its own Ethernet header included.
const (
	overheadIPv4 = 20 + 8 + 8 + 14
	overheadIPv6 = 40 + 8 + 8 + 14
)

// loopbackMTU is assumed of the interfaces behind an address that is on none of them, as where nodes speak BGP.
const loopbackMTU = 1500

// FindOverlay returns the VXLAN link of an overlay, with two cheap system calls. The error is ErrOverlayMissing or one of
// the kernel.
func FindOverlay(node *kernel.Namespace, o plan.Overlay) (Uplink, error) {
	index, mtu, err := node.Interface(OverlayName(o.VNI))
	if errors.Is(err, unix.ENODEV) {
		return Uplink{}, fmt.Errorf("overlay of rack %s (VNI %d): %w", o.Rack, o.VNI, ErrOverlayMissing)
	}
	return Uplink{Index: index, MTU: mtu}, err
}

// OverlayLink is a VXLAN link of ours.
type OverlayLink struct {
	Index int
	Name  string
	VNI   int
	Port  int
	Local netip.Addr
	MTU   int
	Up    bool
}

// OverlayLinks lists our VXLAN links; those of others do not carry our mark. With RemoveLink the kernel removes all pods'
// links on one as well, see VLANLinks.
func OverlayLinks(node *kernel.Namespace) ([]OverlayLink, error) {
	all, err := kernel.Dump(node.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var ours []OverlayLink
	for _, link := range all {
		if vxlan, ok := link.(*netlink.Vxlan); ok && link.Attrs().Group == plan.LinkGroup {
			local, _ := netip.AddrFromSlice(vxlan.SrcAddr)
			ours = append(ours, OverlayLink{Index: vxlan.Index, Name: vxlan.Name, VNI: vxlan.VxlanId, Port: vxlan.Port,
				Local: local.Unmap(), MTU: vxlan.MTU, Up: vxlan.Flags&net.FlagUp != 0})
		}
	}
	return ours, nil
}

// overlayMTU is what fits into the packets of the interface that has the address. A VXLAN link that is bound to no interface
// would have 1500, and its packets would be fragmented, which costs nine tenths of the throughput.
func overlayMTU(node *kernel.Namespace, local netip.Addr) (int, error) {
	under, err := underlayMTU(node, local)
	if err != nil {
		return 0, err
	}
	if local.Is4() {
		return under - overheadIPv4, nil
	}
	return under - overheadIPv6, nil
}

func underlayMTU(node *kernel.Namespace, local netip.Addr) (int, error) {
	addresses, err := AllAddresses(node)
	if err != nil {
		return 0, err
	}
	for index, list := range addresses {
		for _, address := range list {
			if address.Addr() != local {
				continue
			}
			link, err := node.Handle().LinkByIndex(index)
			if err != nil {
				return 0, fmt.Errorf("look up the interface that has %s: %w", local, err)
			}
			if mtu := link.Attrs().MTU; link.Attrs().Flags&net.FlagLoopback == 0 {
				return mtu, nil
			}
			return loopbackMTU, nil
		}
	}
	return 0, fmt.Errorf("no interface of the node has %s, from which it has to send to other nodes: correct the node's InternalIP (kubelet --node-ip) or give an interface the address", local)
}
