package netattach

import (
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// What the API allows at most.
const (
	maxRanges  = 16
	maxExclude = 32
	maxRoutes  = 32
)

// minIPv6MTU: the kernel takes IPv6 away from an interface with less (RFC 8200).
const minIPv6MTU = 1280

// subnet is a range as an IPAM plugin has it.
type subnet struct {
	prefix              netip.Prefix
	start, end, gateway netip.Addr
	exclude             []netip.Prefix
	// from holds the keys, for messages about the range as a whole.
	from *jsonpos.Fields
	key  string
}

// readIPAM fills in spec.IPAM and spec.Routes. Without a type there are no addresses, as with the plugins.
func (t *translator) readIPAM(f *jsonpos.Fields, spec *v1alpha1.NetworkSpec) {
	g, found := f.Object("ipam")
	if !found {
		return
	}
	kind, _ := g.Text("type")
	var subnets []subnet
	switch kind {
	case "":
		t.noteUnknown(g)
		return
	case "host-local":
		subnets = t.readHostLocal(g)
	case "static":
		subnets = t.readStatic(g)
		spec.IPAM = &v1alpha1.IPAMSpec{Quarantine: &metav1.Duration{}}
	case "whereabouts":
		subnets = t.readWhereabouts(g)
	default:
		t.plugins[len(t.plugins)-1] += "+" + kind
		t.obstacle(g, "type", "IPAM plugin %q is not host-local, static or whereabouts, whose addresses Multinet gives out itself", kind)
		return
	}
	t.plugins[len(t.plugins)-1] += "+" + kind
	if spec.IPAM == nil {
		spec.IPAM = &v1alpha1.IPAMSpec{}
	}
	t.checkRanges(g, subnets)
	for _, s := range subnets {
		if spec.MTU != nil && *spec.MTU < minIPv6MTU && s.prefix.Addr().Is6() {
			f.Refuse("mtu", "is %d: IPv6 needs at least %d", *spec.MTU, minIPv6MTU)
		}
		spec.IPAM.Ranges = append(spec.IPAM.Ranges, s.toRange())
	}
	spec.Routes = t.readRoutes(g, subnets)
	t.noteDNS(g)
	t.noteUnknown(g)
}

// checkRanges looks for what a Network demands of its ranges beyond what the plugins do.
func (t *translator) checkRanges(f *jsonpos.Fields, subnets []subnet) {
	if len(subnets) > maxRanges {
		t.obstacle(f, "", "there are %d ranges, a Network has at most %d", len(subnets), maxRanges)
	}
	for i, s := range subnets {
		if a := s.prefix.Addr(); a.IsMulticast() || a.IsLoopback() || a == netip.IPv4Unspecified() {
			s.from.Refuse(s.key, "%s: no host can have an address of it", s.prefix)
		}
		if s.start.IsValid() && s.end.IsValid() && s.end.Less(s.start) {
			s.from.Refuse(s.key, "the range ends at %s, before it starts at %s", s.end, s.start)
		}
		if len(s.exclude) > maxExclude {
			t.obstacle(s.from, s.key, "%d exclusions, a range of a Network has at most %d", len(s.exclude), maxExclude)
		}
		for _, other := range subnets[:i] {
			if other.prefix.Overlaps(s.prefix) {
				t.obstacle(s.from, s.key, "%s overlaps %s: a Network cannot have two ranges of one subnet", s.prefix, other.prefix)
			}
		}
	}
}

func (s subnet) toRange() v1alpha1.IPRange {
	r := v1alpha1.IPRange{CIDR: s.prefix.String(), Start: text(s.start), End: text(s.end), Gateway: text(s.gateway)}
	for _, e := range s.exclude {
		r.Exclude = append(r.Exclude, e.String())
	}
	return r
}

// text of an address, "" where there is none.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// onePerFamily: a pod gets one address of each family from a Network, where plugins give one per list of ranges.
func (t *translator) onePerFamily(subnets []subnet) {
	first := map[string]subnet{}
	for _, s := range subnets {
		kind := family(s.prefix.Addr())
		if other, taken := first[kind]; taken {
			t.obstacle(s.from, s.key, "%s after %s: a Network gives a pod one %s address", s.prefix, other.prefix, kind)
			continue
		}
		first[kind] = s
	}
}

// readAddr reads an address that has to be inside the prefix, where the prefix is valid.
func readAddr(f *jsonpos.Fields, key string, inside netip.Prefix) netip.Addr {
	value, _ := f.Text(key)
	if value == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		f.Refuse(key, "%q is not an IP address", value)
		return netip.Addr{}
	}
	a = a.Unmap()
	if inside.IsValid() && !inside.Contains(a) {
		f.Refuse(key, "%s is not inside %s", a, inside)
	}
	return a
}

// parsePrefix takes host bits; IPv4 inside IPv6 is none of both.
func parsePrefix(cidr string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(cidr)
	if err == nil && p.Addr().Is4In6() {
		err = fmt.Errorf("%s is IPv4 inside IPv6", cidr)
	}
	return p, err
}

// readRoutes reads what all IPAM plugins have alike.
func (t *translator) readRoutes(f *jsonpos.Fields, subnets []subnet) (routes []v1alpha1.Route) {
	items, _ := f.List("routes")
	if len(items) > maxRoutes {
		t.obstacle(f, "routes", "%d routes, a Network has at most %d", len(items), maxRoutes)
	}
	seen := map[netip.Prefix]bool{}
	for _, item := range items {
		g := item.Fields()
		dst, _ := g.Text("dst")
		to, err := parsePrefix(dst)
		if err != nil || to != to.Masked() {
			g.Refuse("dst", "%q is not a prefix in CIDR form without host bits", dst)
			continue
		}
		if seen[to] {
			t.obstacle(g, "dst", "a second route to %s: a Network has one", to)
		}
		seen[to] = true
		via := t.readHop(g, to, subnets)
		for _, m := range g.Unasked() {
			t.obstacle(g, m.Key, "a route of a Network has a destination and a next hop alone")
		}
		routes = append(routes, v1alpha1.Route{To: to.String(), Via: text(via)})
	}
	return routes
}

func (t *translator) readHop(f *jsonpos.Fields, to netip.Prefix, subnets []subnet) netip.Addr {
	if !slices.ContainsFunc(subnets, func(s subnet) bool { return family(s.prefix.Addr()) == family(to.Addr()) }) {
		t.obstacle(f, "dst", "%s has no range of its family, which a route of a Network needs", to)
	}
	via := readAddr(f, "gw", netip.Prefix{})
	switch {
	case !via.IsValid() || via.IsLinkLocalUnicast() && via.Is4() == to.Addr().Is4():
	case via.Is4() != to.Addr().Is4():
		f.Refuse("gw", "%s is not of the family of %s", via, to)
	case !slices.ContainsFunc(subnets, func(s subnet) bool { return s.prefix.Contains(via) }):
		t.obstacle(f, "gw", "%s is in no range: a Network routes to neighbours only", via)
	}
	return via
}
