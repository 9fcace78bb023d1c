package plumb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// explainOverlay adds to the kernel's error what is known about its cause.
func explainOverlay(node *kernel.Namespace, o plan.Overlay, err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return ErrNoVXLANSupport
	}
	if errors.Is(err, unix.EEXIST) {
		if holders := vniHolders(node, o); len(holders) > 0 {
			return fmt.Errorf("VNI %d on UDP port %d is taken on the node by %s, which is not Multinet's: choose another range of VNIs or port for the Network",
				o.VNI, o.Port, strings.Join(holders, " and "))
		}
	}
	return fmt.Errorf("create VXLAN link %s: %w", OverlayName(o.VNI), err)
}

// vniHolders lists the links that have the VNI on the port.
func vniHolders(node *kernel.Namespace, o plan.Overlay) (names []string) {
	all, _ := kernel.Dump(node.Handle().LinkList)
	for _, link := range all {
		if vxlan, ok := link.(*netlink.Vxlan); ok && vxlan.Port == o.Port && vxlan.VxlanId == o.VNI {
			names = append(names, vxlan.Name)
		}
	}
	return names
}
