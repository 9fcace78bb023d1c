package plumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// ErrIPv6Disabled tells that the pod's namespace or the kernel takes no IPv6 address.
var ErrIPv6Disabled = errors.New("IPv6 is disabled in the pod (sysctl net.ipv6.conf.*.disable_ipv6) or on the node")

// EnsureAddress puts an address on a link that is up. An IPv6 address is usable at once: duplicates are looked for
// beforehand by Probe, while the kernel's own detection takes 1.75 s and tells nobody.
func EnsureAddress(ns *kernel.Namespace, index int, address netip.Prefix) (created bool, err error) {
	err = addAddress(ns, index, address)
	switch {
	case err == nil:
		return true, nil
	case address.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		return false, ErrIPv6Disabled
	case !errors.Is(err, unix.EEXIST):
		return false, err
	}
	// The kernel compares IPv6 addresses without their prefix length, and takes two IPv4 addresses that differ in
	// nothing else for two.
	present, err := Addresses(ns, index)
	if err != nil {
		return false, err
	}
	for _, other := range present {
		if other == address {
			return false, nil
		}
	}
	for _, other := range present {
		if other.Addr() == address.Addr() {
			if err := RemoveAddress(ns, index, other); err != nil {
				return false, err
			}
		}
	}
	return true, addAddress(ns, index, address)
}

func addAddress(ns *kernel.Namespace, index int, address netip.Prefix) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	addr := address.Addr()
	message := nl.NewIfAddrmsg(unix.AF_INET)
	message.Index, message.Prefixlen = uint32(index), uint8(address.Bits())
	if addr.Is6() {
		message.Family, message.Flags = unix.AF_INET6, unix.IFA_F_NODAD
	}
	request.AddData(message)
	for _, attribute := range []int{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		request.AddData(nl.NewRtAttr(attribute, addr.AsSlice()))
	}
	if broadcast, ok := broadcast(address); ok {
		request.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast[:]))
	}
	return ns.Execute(request)
}

// broadcast is the last address of an IPv4 subnet that has one, RFC 3021.
func broadcast(address netip.Prefix) (last [4]byte, ok bool) {
	if !address.Addr().Is4() || address.Bits() > 30 {
		return last, false
	}
	last = address.Addr().As4()
	host := ^uint32(0) >> address.Bits()
	binary.BigEndian.PutUint32(last[:], binary.BigEndian.Uint32(last[:])|host)
	return last, true
}

// RemoveAddress takes an address off a link.
func RemoveAddress(ns *kernel.Namespace, index int, address netip.Prefix) error {
	err := ns.Handle().AddrDel(byIndex(index), &netlink.Addr{IPNet: ipNet(address)})
	// A secondary address goes with its primary, a link with its addresses.
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove address %s: %w", address, err)
	}
	return nil
}

// Addresses lists the addresses of a link, those of the link's own scope left out.
func Addresses(ns *kernel.Namespace, index int) ([]netip.Prefix, error) {
	all, err := AllAddresses(ns)
	return all[index], err
}

// AllAddresses lists the addresses of all links by index, those of the links' own scope left out.
func AllAddresses(ns *kernel.Namespace) (map[int][]netip.Prefix, error) {
	found, err := kernel.Dump(func() ([]netlink.Addr, error) {
		return ns.Handle().AddrList(nil, netlink.FAMILY_ALL)
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	addresses := map[int][]netip.Prefix{}
	for _, addr := range found {
		if addr.Scope != unix.RT_SCOPE_LINK {
			addresses[addr.LinkIndex] = append(addresses[addr.LinkIndex], prefix(addr.IPNet))
		}
	}
	return addresses, nil
}

// byIndex is a link of which netlink needs only the index.
func byIndex(index int) netlink.Link {
	return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix is invalid for nil, which is how netlink writes a default route's destination in some of its versions.
func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}
