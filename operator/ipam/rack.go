package ipam

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// InScope returns the range as one of a rack's own.
func (r Range) InScope(scope string) Range {
	r.Scope = scope
	return r
}

// RackRange is the part of parent that a rack has. What no host of a subnet may have, and what parent excludes, is
// not given out.
func RackRange(parent Range, prefix netip.Prefix, rack string) (Range, error) {
	if prefix != prefix.Masked() || prefix.Bits() < parent.Prefix.Bits() || !parent.Prefix.Contains(prefix.Addr()) {
		return Range{}, fmt.Errorf("prefix %s of rack %q is not inside range %s", prefix, rack, parent.Prefix)
	}
	all := prefixInterval(prefix)
	r := Range{Scope: rack, Prefix: prefix, bounds: interval{later(all.from, parent.bounds.from), earlier(all.to, parent.bounds.to)}}
	if !r.bounds.to.Less(r.bounds.from) {
		r.block(append(reserved(prefix), parent.blocked...))
	}
	if r.Total().Sign() <= 0 {
		return Range{}, fmt.Errorf("prefix %s of rack %q: range %s excludes all of its addresses", prefix, rack, parent.Prefix)
	}
	return r, nil
}

// Carve yields the prefixes of a length that racks can still get out of the parents of a family, in order. Left out is what
// overlaps anything taken, such as prefixes of other racks and single addresses that are in use, and what has no address
// to give out. The work is that of sorting what is taken, and then of passing it once.
func Carve(parents []Range, family Family, bits int, taken []netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		obstacles := obstaclesOf(family, taken)
		for _, parent := range parents {
			if parent.Family() == family && bits >= parent.Prefix.Bits() && !parent.carve(bits, obstacles, yield) {
				return
			}
		}
	}
}

// obstaclesOf returns what is taken of a family, sorted and disjoint.
func obstaclesOf(family Family, taken []netip.Prefix) []interval {
	var obstacles []interval
	for _, p := range taken {
		if FamilyOf(p.Addr()) == family {
			obstacles = append(obstacles, prefixInterval(p))
		}
	}
	slices.SortFunc(obstacles, func(a, b interval) int { return a.from.Compare(b.from) })
	if len(obstacles) == 0 {
		return nil
	}
	return merge(obstacles, prefixInterval(netip.PrefixFrom(obstacles[0].from, 0)))
}

// carve returns false when yield wants no more.
func (r *Range) carve(bits int, obstacles []interval, yield func(netip.Prefix) bool) bool {
	next := r.bounds.from
	for next.IsValid() && r.bounds.contains(next) {
		prefix := netip.PrefixFrom(next, bits).Masked()
		all := prefixInterval(prefix)
		for len(obstacles) > 0 && obstacles[0].to.Less(all.from) {
			obstacles = obstacles[1:]
		}
		switch end, excluded := r.blockedUntil(next); {
		case len(obstacles) > 0 && obstacles[0].from.Compare(all.to) <= 0:
			next = later(obstacles[0].to, all.to).Next()
		case excluded && all.to.Less(end):
			// The prefix that begins here has nothing; the one that the exclusion ends in may.
			next = end
		default:
			if _, err := RackRange(*r, prefix, ""); err == nil && !yield(prefix) {
				return false
			}
			next = all.to.Next()
		}
	}
	return true
}
