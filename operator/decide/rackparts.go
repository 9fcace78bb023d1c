package decide

import (
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// giveOut lets racks keep the prefixes and the VNI that they have and may have, and gives those that have nodes what they
// lack, as far as there is any.
func (f RackFacts) giveOut(racks []v1alpha1.RackStatus) {
	parents, err := ipam.ParseRanges(f.Network.Spec.IPAM)
	if err != nil {
		return // CheckNetwork says so
	}
	given := map[netip.Prefix]bool{}
	for i := range racks {
		racks[i].Prefixes = f.keepPrefixes(racks[i], parents, given)
	}
	for _, family := range families(parents) {
		f.carve(racks, parents, family, given)
	}
	if f.Network.Spec.RackLocal.Overlay != nil {
		f.giveVNIs(racks)
	}
}

// keepPrefixes leaves out what the ranges do not have any more, and what nobody but a person can have written.
func (f RackFacts) keepPrefixes(rack v1alpha1.RackStatus, parents []ipam.Range, given map[netip.Prefix]bool) []string {
	var kept []string
	for _, r := range RackRanges(parents, []v1alpha1.RackStatus{rack}) {
		if bits, _ := prefixLength(f.Network.Spec.RackLocal, r.Family()); bits == r.Prefix.Bits() && !given[r.Prefix] {
			given[r.Prefix] = true
			kept = append(kept, r.Prefix.String())
		}
	}
	return kept
}

// RackRanges are the ranges of the racks' prefixes. One that is in none of the Network's ranges is left out.
func RackRanges(parents []ipam.Range, racks []v1alpha1.RackStatus) []ipam.Range {
	var ranges []ipam.Range
	for _, rack := range racks {
		for _, text := range rack.Prefixes {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				continue
			}
			for _, parent := range parents {
				if r, err := ipam.RackRange(parent, prefix, rack.Name); err == nil {
					ranges = append(ranges, r)
				}
			}
		}
	}
	return ranges
}

// carve gives a prefix of the family to each rack that has nodes and no such prefix.
func (f RackFacts) carve(racks []v1alpha1.RackStatus, parents []ipam.Range, family ipam.Family, given map[netip.Prefix]bool) {
	var lacking []*v1alpha1.RackStatus
	for i := range racks {
		if racks[i].Nodes > 0 && !hasFamily(racks[i], family) {
			lacking = append(lacking, &racks[i])
		}
	}
	if len(lacking) == 0 {
		return
	}
	taken := make([]netip.Prefix, 0, len(given)+len(f.Strays))
	for prefix := range given {
		taken = append(taken, prefix)
	}
	for _, addr := range f.Strays {
		taken = append(taken, netip.PrefixFrom(addr, addr.BitLen()))
	}
	bits, _ := prefixLength(f.Network.Spec.RackLocal, family)
	for prefix := range ipam.Carve(parents, family, bits, taken) {
		at := len(lacking[0].Prefixes)
		if family == ipam.IPv4 {
			at = 0
		}
		lacking[0].Prefixes = slices.Insert(lacking[0].Prefixes, at, prefix.String())
		given[prefix] = true
		if lacking = lacking[1:]; len(lacking) == 0 {
			return
		}
	}
}

// giveVNIs: of two Networks that record one VNI, which takes two leaders, the one without attachments there yields.
func (f RackFacts) giveVNIs(racks []v1alpha1.RackStatus) {
	given := map[int32]bool{}
	for i := range racks {
		rack := &racks[i]
		inUse := rack.Attachments+f.Reserved[rack.Name] > 0
		if given[rack.VNI] || !inUse && f.VNITaken(rack.VNI) {
			rack.VNI = 0
		}
		given[rack.VNI] = true
	}
	vnis := f.Network.Spec.RackLocal.Overlay.VNIs
	next := vnis.First
	for i := range racks {
		if racks[i].VNI != 0 || racks[i].Nodes == 0 {
			continue
		}
		for next <= vnis.Last && (given[next] || f.VNITaken(next)) {
			next++
		}
		if next > vnis.Last {
			return
		}
		racks[i].VNI, given[next] = next, true
	}
}

// families of the ranges, in the order of a pod's addresses.
func families(ranges []ipam.Range) []ipam.Family {
	var found []ipam.Family
	for _, family := range []ipam.Family{ipam.IPv4, ipam.IPv6} {
		if slices.ContainsFunc(ranges, func(r ipam.Range) bool { return r.Family() == family }) {
			found = append(found, family)
		}
	}
	return found
}

func hasFamily(rack v1alpha1.RackStatus, family ipam.Family) bool {
	return slices.ContainsFunc(rack.Prefixes, func(text string) bool {
		prefix, err := netip.ParsePrefix(text)
		return err == nil && ipam.FamilyOf(prefix.Addr()) == family
	})
}

// RackServed tells whether a rack has what the attachments of the Network need: a prefix of each family that has a range,
// and a VNI on an overlay.
func RackServed(network *v1alpha1.Network, parents []ipam.Range, rack v1alpha1.RackStatus) bool {
	have := RackRanges(parents, []v1alpha1.RackStatus{rack})
	return len(families(have)) == len(families(parents)) && (network.Spec.RackLocal.Overlay == nil || rack.VNI != 0)
}
