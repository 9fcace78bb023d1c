package netattach

import (
	"net/netip"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// defaultRoute refuses gateways that the pod may not have as neighbours: which address it gets of several ranges is not known yet.
func (f *fit) defaultRoute(network *v1alpha1.NetworkSpec) {
	const key = "default-route"
	e := f.element
	if e.DefaultRoute == nil {
		return
	}
	if network.IPAM == nil {
		f.refuse(key, "the network gives no addresses, without which an interface cannot route")
		return
	}
	if len(e.DefaultRoute) == 0 {
		for _, r := range network.IPAM.Ranges {
			if r.Gateway == "" {
				f.refuse(key, "names no gateway, and range %s of the network has none: name the gateways", r.CIDR)
			}
		}
	}
	seen := map[string]bool{}
	for _, gateway := range e.DefaultRoute {
		if seen[family(gateway)] {
			f.refuse(key, "%s is the second %s gateway: a pod has one default route of each family", gateway, family(gateway))
		}
		seen[family(gateway)] = true
		f.gateway(key, gateway, network.IPAM.Ranges)
	}
	for _, r := range network.Routes {
		if to, err := netip.ParsePrefix(r.To); err == nil && to.Bits() == 0 && (len(e.DefaultRoute) == 0 || seen[family(to.Addr())]) {
			f.refuse(key, "the network itself has a route to %s", to)
		}
	}
}

func (f *fit) gateway(key string, gateway netip.Addr, ranges []v1alpha1.IPRange) {
	of := 0
	for _, r := range ranges {
		p, err := netip.ParsePrefix(r.CIDR)
		if err != nil || family(p.Addr()) != family(gateway) || !f.mayGet(p) {
			continue
		}
		of++
		if !p.Contains(gateway) && (gateway.Is4() || !gateway.IsLinkLocalUnicast()) {
			f.refuse(key, "%s is no neighbour of an address in %s: a gateway is in the subnet of the pod's address", gateway, p)
		}
	}
	if of == 0 {
		f.refuse(key, "%s: the network gives no %s address, without which the interface cannot route to it", gateway, family(gateway))
	}
	for _, ip := range f.element.IPs {
		if ip.Addr == gateway {
			f.refuse(key, "%s is the address that the pod itself asks for", gateway)
		}
	}
}

// mayGet tells whether the pod may get an address of a range: it does not where it asks for one of the family elsewhere.
func (f *fit) mayGet(of netip.Prefix) bool {
	may := true
	for _, ip := range f.element.IPs {
		if family(ip.Addr) == family(of.Addr()) {
			may = false
			if of.Contains(ip.Addr) {
				return true
			}
		}
	}
	return may
}
