package plumb

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// Default routes of other interfaces are not deleted but set aside: they get a metric that no other default route loses to. The pod
// has them again where our interface goes, whoever takes it away, and what they were like is not to be remembered anywhere else.
const (
	asideMetric = 0x4d4e0000
	asideRoom   = 1 << 16
)

// defaultMetric of our own default routes is the smallest of the family: of IPv6, the kernel takes 0 for 1024.
func defaultMetric(via netip.Addr) int {
	if via.Is4() {
		return 0
	}
	return 1
}

// DefaultOf is the destination of a default route of the address's family.
func DefaultOf(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// EnsureDefault has all that the pod sends elsewhere in the gateway's family go by the gateway, through a link that is up and has its
// addresses. The error is one of the kernel, ENETUNREACH where the gateway is no neighbour.
func EnsureDefault(ns *kernel.Namespace, index int, via netip.Addr) (created bool, err error) {
	defaults, err := defaultRoutes(ns, via)
	if err != nil {
		return false, err
	}
	metric := defaultMetric(via)
	for i := range defaults {
		route := &defaults[i]
		switch read := readRoute(*route); {
		case read.Link == index && read.Via == via && read.Metric == metric:
			return false, nil
		case read.Metric > metric:
		case read.Link == index && read.Ours:
			err = ns.Handle().RouteDel(route)
		default:
			err = changeMetric(ns, defaults, route, asideMetric+read.Metric)
		}
		if err != nil {
			return false, fmt.Errorf("set aside the default route of %s: %w", linkName(ns, route.LinkIndex), err)
		}
	}
	if err := ns.Handle().RouteAdd(newDefault(index, via)); err != nil {
		return false, err
	}
	return true, nil
}

// RemoveDefault removes a default route of ours.
func RemoveDefault(ns *kernel.Namespace, index int, via netip.Addr) error {
	err := ns.Handle().RouteDel(newDefault(index, via))
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// RestoreDefault gives the default routes of the gateway's family that were set aside their metric again. It is for when ours is gone.
func RestoreDefault(ns *kernel.Namespace, via netip.Addr) error {
	defaults, err := defaultRoutes(ns, via)
	if err != nil {
		return err
	}
	for i := range defaults {
		if before := defaults[i].Priority - asideMetric; before >= 0 && before < asideRoom {
			if err := changeMetric(ns, defaults, &defaults[i], before); err != nil {
				return fmt.Errorf("restore the default route of %s: %w", linkName(ns, defaults[i].LinkIndex), err)
			}
		}
	}
	return nil
}

// changeMetric makes the route anew before the former one goes, so that there always is one. Where another route has the metric the
// former one stays.
func changeMetric(ns *kernel.Namespace, all []netlink.Route, route *netlink.Route, metric int) error {
	// The kernel tells more of a route than it takes.
	former := *route
	former.Flags &= int(netlink.FLAG_ONLINK)
	next := former
	next.Priority = metric
	if err := ns.Handle().RouteAdd(&next); errors.Is(err, unix.EEXIST) {
		made := readRoute(next)
		if !slices.ContainsFunc(all, func(r netlink.Route) bool { return readRoute(r) == made }) {
			return nil
		}
	} else if err != nil {
		return err
	}
	if err := ns.Handle().RouteDel(&former); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func newDefault(index int, via netip.Addr) *netlink.Route {
	return &netlink.Route{LinkIndex: index, Dst: ipNet(DefaultOf(via)), Gw: via.AsSlice(), Protocol: routeProtocol, Scope: netlink.SCOPE_UNIVERSE, Priority: defaultMetric(via)}
}

// defaultRoutes are the unicast ones of the main table.
func defaultRoutes(ns *kernel.Namespace, family netip.Addr) ([]netlink.Route, error) {
	protocol := netlink.FAMILY_V6
	if family.Is4() {
		protocol = netlink.FAMILY_V4
	}
	found, err := kernel.Dump(func() ([]netlink.Route, error) {
		return ns.Handle().RouteListFiltered(protocol, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var defaults []netlink.Route
	for _, route := range found {
		if route.Type == unix.RTN_UNICAST && readRoute(route).To.Bits() == 0 {
			defaults = append(defaults, route)
		}
	}
	return defaults, nil
}
