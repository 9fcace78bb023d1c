package ipam

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Family names IPv4 or IPv6 in messages.
type Family string

// The families, in the order in which a pod's addresses are listed.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// FamilyOf returns the family of a.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Range is a parsed v1alpha1.IPRange, or the part of one that a rack has. Only ParseRange and RackRange make one, so its
// parts fit together.
type Range struct {
	// Scope is the rack that the range is for, "" where the Network has no racks.
	Scope string
	// Prefix is the subnet; pods get its length.
	Prefix netip.Prefix
	// Gateway is invalid where the range has none.
	Gateway netip.Addr

	bounds  interval
	blocked []interval
}

// ParseRange checks more than the CRD can: that the family fits, that start is not behind end, and that at
// least one address can be given out. Never given out are the gateway, exclusions, the network and broadcast
// address of IPv4 and the subnet-router anycast address of IPv6 (RFC 4291); point-to-point subnets (/31, /32,
// /127, /128) have none of the latter (RFC 3021, RFC 6164).
func ParseRange(spec v1alpha1.IPRange) (Range, error) {
	prefix, err := netip.ParsePrefix(spec.CIDR)
	if err != nil {
		return Range{}, fmt.Errorf("range %q: cidr: %w", spec.CIDR, err)
	}
	if prefix != prefix.Masked() || prefix.Addr().Is4In6() {
		return Range{}, fmt.Errorf("range %q: cidr must be a subnet without host bits and not IPv4 inside IPv6", spec.CIDR)
	}
	r := Range{Prefix: prefix, bounds: prefixInterval(prefix)}
	if err := r.parseBounds(spec); err != nil {
		return Range{}, fmt.Errorf("range %s: %w", prefix, err)
	}
	if err := r.parseBlocked(spec); err != nil {
		return Range{}, fmt.Errorf("range %s: %w", prefix, err)
	}
	if r.Total().Sign() <= 0 {
		return Range{}, fmt.Errorf("range %s: no address is left to give out after start, end, gateway and exclusions", prefix)
	}
	return r, nil
}

func (r *Range) parseBounds(spec v1alpha1.IPRange) (err error) {
	if spec.Start != "" {
		if r.bounds.from, err = r.inside("start", spec.Start); err != nil {
			return err
		}
	}
	if spec.End != "" {
		if r.bounds.to, err = r.inside("end", spec.End); err != nil {
			return err
		}
	}
	if r.bounds.to.Less(r.bounds.from) {
		return fmt.Errorf("start %s is behind end %s", r.bounds.from, r.bounds.to)
	}
	if spec.Gateway != "" {
		r.Gateway, err = r.inside("gateway", spec.Gateway)
	}
	return err
}

func (r *Range) inside(field, value string) (netip.Addr, error) {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", field, err)
	}
	if !r.Prefix.Contains(a) {
		return netip.Addr{}, fmt.Errorf("%s %s is not inside the range", field, a)
	}
	return a, nil
}

func (r *Range) parseBlocked(spec v1alpha1.IPRange) error {
	blocked := reserved(r.Prefix)
	if r.Gateway.IsValid() {
		blocked = append(blocked, interval{r.Gateway, r.Gateway})
	}
	for _, value := range spec.Exclude {
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return fmt.Errorf("exclude: %w", err)
		}
		if p.Bits() < r.Prefix.Bits() || !r.Prefix.Contains(p.Addr()) {
			return fmt.Errorf("exclude %s is not inside the range", p)
		}
		blocked = append(blocked, prefixInterval(p))
	}
	r.block(blocked)
	return nil
}

func (r *Range) block(blocked []interval) {
	slices.SortFunc(blocked, func(a, b interval) int { return a.from.Compare(b.from) })
	r.blocked = merge(blocked, r.bounds)
}

// reserved are the addresses of a subnet that no host may have.
func reserved(p netip.Prefix) []interval {
	if p.Addr().BitLen()-p.Bits() <= 1 {
		return nil
	}
	all := prefixInterval(p)
	first := interval{all.from, all.from}
	if p.Addr().Is4() {
		return []interval{first, {all.to, all.to}}
	}
	return []interval{first}
}

// Family of the range's addresses.
func (r *Range) Family() Family { return FamilyOf(r.Prefix.Addr()) }

// Total is the number of addresses that can be given out.
func (r *Range) Total() *big.Int {
	total := r.bounds.size()
	for _, b := range r.blocked {
		total.Sub(total, b.size())
	}
	return total
}

// Contains tells whether a can be given out. A range has at most some 35 exclusions, so this is O(1).
func (r *Range) Contains(a netip.Addr) bool {
	return r.bounds.contains(a) && !slices.ContainsFunc(r.blocked, func(b interval) bool { return b.contains(a) })
}

// Claimable tells whether a host may have a when somebody asks for it by name: it can be outside of start and end, and
// excluded, but neither the gateway nor an address that no host of a subnet has.
func (r *Range) Claimable(a netip.Addr) bool {
	return r.Prefix.Contains(a) && a != r.Gateway &&
		!slices.ContainsFunc(reserved(r.Prefix), func(b interval) bool { return b.contains(a) })
}

// blockedUntil tells whether a is in the range's bounds but cannot be given out, and the last such address from there on.
func (r *Range) blockedUntil(a netip.Addr) (netip.Addr, bool) {
	for _, b := range r.blocked {
		if b.contains(a) {
			return b.to, true
		}
	}
	return netip.Addr{}, false
}

// sameSpace tells whether both ranges give out the same addresses.
func (r *Range) sameSpace(o *Range) bool {
	return r.Prefix == o.Prefix && r.bounds == o.bounds && slices.Equal(r.blocked, o.blocked)
}

// ParseRanges parses all ranges of a Network and refuses overlaps. The error joins every problem found.
func ParseRanges(spec *v1alpha1.IPAMSpec) ([]Range, error) {
	if spec == nil {
		return nil, nil
	}
	var problems []error
	ranges := make([]Range, 0, len(spec.Ranges))
	for _, s := range spec.Ranges {
		r, err := ParseRange(s)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, other := range ranges {
			if other.Prefix.Overlaps(r.Prefix) {
				problems = append(problems, fmt.Errorf("range %s overlaps range %s", r.Prefix, other.Prefix))
			}
		}
		ranges = append(ranges, r)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return ranges, nil
}
