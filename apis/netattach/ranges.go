package netattach

import (
	"net/netip"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// readHostLocal: a range by itself comes first, then lists of ranges. Each list gives one address, from its first range
// that has one left. The plugin counts on each node for itself; a Network counts once for the cluster.
func (t *translator) readHostLocal(f *jsonpos.Fields) (subnets []subnet) {
	var firsts []subnet
	if f.Has("subnet") {
		firsts = append(firsts, t.readHostLocalRange(f)...)
	}
	subnets = append(subnets, firsts...)
	sets, _ := f.List("ranges")
	for _, set := range sets {
		var ofSet []subnet
		for _, item := range set.Items() {
			g := item.Fields()
			ofSet = append(ofSet, t.readHostLocalRange(g)...)
			t.noteUnknown(g)
		}
		for i, s := range ofSet {
			if family(s.prefix.Addr()) != family(ofSet[0].prefix.Addr()) {
				ofSet[i].from.Refuse("subnet", "is of another family than the first of its list")
			}
		}
		firsts = append(firsts, ofSet[:min(1, len(ofSet))]...)
		subnets = append(subnets, ofSet...)
	}
	t.onePerFamily(firsts)
	if !f.Has("subnet") && len(sets) == 0 {
		f.Refuse("ranges", "host-local needs subnet or ranges")
	}
	t.ignore(f, "the addresses in use are in the API", "dataDir")
	t.ignore(f, "no runtime uses the name servers of an additional network", "resolvConf")
	if len(subnets) > 0 {
		t.note(f, "type", "host-local counts on each node for itself, a Network once for the cluster: the range has to last for all pods")
	}
	return subnets
}

// readHostLocalRange returns one range or none.
func (t *translator) readHostLocalRange(f *jsonpos.Fields) []subnet {
	cidr, _ := f.Text("subnet")
	prefix, err := parsePrefix(cidr)
	switch {
	case err != nil || prefix != prefix.Masked():
		f.Refuse("subnet", "%q is not a subnet in CIDR form without host bits", cidr)
		return nil
	case prefix.Addr().BitLen()-prefix.Bits() < 2:
		f.Refuse("subnet", "%s is too small for host-local", prefix)
		return nil
	}
	s := subnet{prefix: prefix, from: f, key: "subnet"}
	s.start, s.end = readAddr(f, "rangeStart", prefix), readAddr(f, "rangeEnd", prefix)
	// The plugin keeps the first address for the gateway where none is named.
	if s.gateway = readAddr(f, "gateway", netip.Prefix{}); !s.gateway.IsValid() {
		s.gateway = prefix.Addr().Next()
	} else if !prefix.Contains(s.gateway) {
		t.obstacle(f, "gateway", "%s is not inside %s: a Network routes to neighbours only", s.gateway, prefix)
	}
	return []subnet{s}
}

// readStatic: every pod gets the same addresses, so a Network has a range of one address for each.
func (t *translator) readStatic(f *jsonpos.Fields) (subnets []subnet) {
	addresses, _ := f.List("addresses")
	for _, item := range addresses {
		g := item.Fields()
		address, _ := g.Text("address")
		p, err := parsePrefix(address)
		if err != nil {
			g.Refuse("address", "%q is not an address in CIDR form", address)
			continue
		}
		s := subnet{prefix: p.Masked(), start: p.Addr(), end: p.Addr(), from: g, key: "address"}
		if noHost(p) {
			g.Refuse("address", "%s is the address of the subnet, no host can have it", p)
		}
		s.gateway = readAddr(g, "gateway", p.Masked())
		if s.gateway == p.Addr() {
			g.Refuse("gateway", "is the pod's own address")
		}
		t.noteUnknown(g)
		subnets = append(subnets, s)
	}
	t.onePerFamily(subnets)
	if len(addresses) == 0 {
		t.obstacle(f, "addresses", "static without addresses takes them from the pods: a Network needs ranges, and an AddressClaim names a pod's")
	} else {
		t.note(f, "type", "all pods would have one address: with a Network they run one after the other, never two at once")
	}
	return subnets
}

// noHost tells whether an address is that of its subnet, or IPv4's broadcast.
func noHost(p netip.Prefix) bool {
	if p.Addr().BitLen()-p.Bits() < 2 {
		return false
	}
	next := p.Addr().Next()
	return p.Addr() == p.Masked().Addr() || p.Addr().Is4() && !p.Contains(next)
}

// readWhereabouts: range comes first, then ipRanges, and each gives one address.
func (t *translator) readWhereabouts(f *jsonpos.Fields) (subnets []subnet) {
	if f.Has("range") {
		subnets = append(subnets, t.readWhereaboutsRange(f)...)
	}
	items, _ := f.List("ipRanges")
	for _, item := range items {
		g := item.Fields()
		subnets = append(subnets, t.readWhereaboutsRange(g)...)
		t.noteUnknown(g)
	}
	t.onePerFamily(subnets)
	if !f.Has("range") && len(items) == 0 {
		f.Refuse("range", "whereabouts needs range or ipRanges, unless a file on each node has it, which Multinet does not read")
	}
	t.readWhereaboutsGateway(f, subnets)
	if addresses, _ := f.List("addresses"); len(addresses) > 0 {
		t.obstacle(f, "addresses", "addresses beside those of the ranges: a Network gives a pod one of each family")
	}
	if name, _ := f.Text("network_name"); name != "" {
		t.note(f, "network_name", "has no effect: every Network counts for itself")
	}
	t.ignore(f, "the operator gives addresses out, from the whole range", "node_slice_size", "enable_overlapping_ranges",
		"leader_lease_duration", "leader_renew_deadline", "leader_retry_period", "sleep_for_race", "reconciler_cron_expression")
	t.ignore(f, "the addresses in use are in the API", "kubernetes", "configuration_path", "datastore", "etcd_host", "etcd_username",
		"etcd_password", "etcd_key_file", "etcd_cert_file", "etcd_ca_cert_file")
	t.ignore(f, "the operator has its own log", "log_file", "log_level")
	return subnets
}

// readWhereaboutsRange reads "first-subnet" or a subnet whose host bits mean nothing.
func (t *translator) readWhereaboutsRange(f *jsonpos.Fields) []subnet {
	value, _ := f.Text("range")
	first, cidr, hasFirst := strings.Cut(value, "-")
	if !hasFirst {
		cidr = value
	}
	p, err := parsePrefix(cidr)
	if err != nil {
		f.Refuse("range", "%q is not a subnet in CIDR form, nor the first address, -, and the last with the subnet's length", value)
		return nil
	}
	s := subnet{prefix: p.Masked(), from: f, key: "range"}
	s.start, s.end = readAddr(f, "range_start", s.prefix), readAddr(f, "range_end", s.prefix)
	if hasFirst {
		// This form overrides range_start and range_end.
		start, err := netip.ParseAddr(first)
		if err != nil || !s.prefix.Contains(start) {
			f.Refuse("range", "%q is not an address inside %s", first, s.prefix)
		}
		s.start, s.end = start, p.Addr()
	}
	s.exclude = t.readExclude(f, s.prefix)
	return []subnet{s}
}

// readExclude leaves out what is not inside the range, and so excludes nothing.
func (t *translator) readExclude(f *jsonpos.Fields, prefix netip.Prefix) (exclude []netip.Prefix) {
	items, _ := f.List("exclude")
	seen := map[netip.Prefix]bool{}
	for _, item := range items {
		value, isString := item.Text()
		if !isString {
			continue
		}
		p, err := parsePrefix(value)
		switch {
		case err != nil:
			item.Refuse("%q is not a prefix in CIDR form", value)
		case !p.Overlaps(prefix):
			t.note(f, "exclude", "%s is not inside %s, so that it excludes nothing", p, prefix)
		case p.Bits() < prefix.Bits():
			item.Refuse("%s excludes all of %s", p, prefix)
		case !seen[p.Masked()]:
			seen[p.Masked()] = true
			exclude = append(exclude, p.Masked())
		}
	}
	return exclude
}

// readWhereaboutsGateway: there is one for all ranges.
func (t *translator) readWhereaboutsGateway(f *jsonpos.Fields, subnets []subnet) {
	gateway := readAddr(f, "gateway", netip.Prefix{})
	if !gateway.IsValid() {
		return
	}
	for i := range subnets {
		if subnets[i].prefix.Contains(gateway) {
			subnets[i].gateway = gateway
			return
		}
	}
	t.obstacle(f, "gateway", "%s is in no range: a Network routes to neighbours only", gateway)
}
