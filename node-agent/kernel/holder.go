package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Holder returns the name of the node's interface that has an address, and false where none has it.
func Holder(address netip.Addr) (name string, found bool, err error) {
	addresses, err := Dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return "", false, fmt.Errorf("list the node's addresses: %w", err)
	}
	for _, a := range addresses {
		if a.IPNet == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(a.IP); !ok || ip.Unmap() != address.Unmap() {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if notFound := (netlink.LinkNotFoundError{}); errors.As(err, &notFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return "", false, fmt.Errorf("interface %d with address %s: %w", a.LinkIndex, address, err)
		}
		return link.Attrs().Name, true, nil
	}
	return "", false, nil
}
