package plumb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// routeProtocol marks our routes in a pod's namespace ("proto 77" in ip route).
const routeProtocol = 77

// RouteTakenError tells that the pod routes a destination elsewhere already. Such a route is never replaced: it may
// be what the pod network needs.
type RouteTakenError struct {
	To        netip.Prefix
	Interface string
}

func (e *RouteTakenError) Error() string {
	return fmt.Sprintf("the pod already has a route to %s through %s", e.To, e.Interface)
}

// EnsureRoute puts a route through a link that is up and has its addresses. The error is a *RouteTakenError or one of
// the kernel, ENETUNREACH where the next hop is no neighbour.
func EnsureRoute(ns *kernel.Namespace, index int, want plan.Route) (created bool, err error) {
	err = ns.Handle().RouteAdd(newRoute(index, want))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, err
	}
	present, err := routesTo(ns, want.To)
	if err != nil {
		return false, err
	}
	for _, other := range present {
		if other.Matches(index, want) {
			return false, nil
		}
	}
	for _, other := range present {
		if other.Link != index || !other.Ours {
			return false, &RouteTakenError{To: want.To, Interface: linkName(ns, other.Link)}
		}
	}
	return true, ns.Handle().RouteReplace(newRoute(index, want))
}

// RemoveRoute removes a route of ours.
func RemoveRoute(ns *kernel.Namespace, index int, route plan.Route) error {
	err := ns.Handle().RouteDel(newRoute(index, route))
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func newRoute(index int, want plan.Route) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: index,
		Dst:       ipNet(want.To),
		Protocol:  routeProtocol,
		Scope:     netlink.SCOPE_LINK,
	}
	if want.Via.IsValid() {
		route.Gw = want.Via.AsSlice()
		route.Scope = netlink.SCOPE_UNIVERSE
	}
	return route
}

// Route is a route of the main table.
type Route struct {
	To netip.Prefix
	// Via is invalid for a destination on link.
	Via  netip.Addr
	Link int
	// Metric decides among routes to one destination: the smallest has it.
	Metric int
	// Ours tells that the route carries our mark.
	Ours bool
}

// Matches reports whether a route leads where another should, whoever made it: the route that the kernel makes for an
// address's own subnet is as good as ours.
func (r Route) Matches(index int, want plan.Route) bool {
	return r.Link == index && r.To == want.To && r.Via == want.Via
}

// Routes lists the unicast routes of the main table, multipath routes by their first hop.
func Routes(ns *kernel.Namespace) ([]Route, error) {
	found, err := kernel.Dump(func() ([]netlink.Route, error) {
		return ns.Handle().RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	routes := make([]Route, 0, len(found))
	for _, route := range found {
		if route.Type == unix.RTN_UNICAST {
			routes = append(routes, readRoute(route))
		}
	}
	return routes, nil
}

func readRoute(found netlink.Route) Route {
	route := Route{Link: found.LinkIndex, Metric: found.Priority, Ours: found.Protocol == routeProtocol}
	via := found.Gw
	if len(found.MultiPath) > 0 {
		route.Link, via = found.MultiPath[0].LinkIndex, found.MultiPath[0].Gw
	}
	route.Via, _ = netip.AddrFromSlice(via)
	route.Via = route.Via.Unmap()
	route.To = prefix(found.Dst)
	if !route.To.IsValid() && found.Family == netlink.FAMILY_V4 {
		route.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	} else if !route.To.IsValid() {
		route.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return route
}

func routesTo(ns *kernel.Namespace, to netip.Prefix) ([]Route, error) {
	all, err := Routes(ns)
	var routes []Route
	for _, route := range all {
		if route.To == to {
			routes = append(routes, route)
		}
	}
	return routes, err
}

func linkName(ns *kernel.Namespace, index int) string {
	link, err := ns.Handle().LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return link.Attrs().Name
}
