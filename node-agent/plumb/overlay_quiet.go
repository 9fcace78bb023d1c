package plumb

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// addrGenModeNone keeps the kernel from giving a link an IPv6 address (IN6_ADDR_GEN_MODE_NONE in uapi/linux/if_link.h).
const addrGenModeNone = 1

// quietOverlay runs in the node's namespace, before the link is up: it would take an address and tell its multicast groups.
func quietOverlay(proc kernel.Proc, link *netlink.Vxlan) error {
	if err := QuietIPv6(proc, link.Name); err != nil {
		return err
	}
	// Where new interfaces have no IPv6, as on kind's nodes, the link would take no IPv6 neighbours.
	err := proc.WriteNet("ipv6/conf/"+link.Name+"/disable_ipv6", "0")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("have IPv6 on it: %w", err)
	}
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(link.Index)
	request.AddData(message)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	families.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, nl.Uint8Attr(addrGenModeNone))
	request.AddData(families)
	err = kernel.Execute(request)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // a kernel without IPv6 has nothing to be quieted
	}
	if err != nil {
		return fmt.Errorf("keep IPv6 addresses off it: %w", err)
	}
	return nil
}
