package ipam

import (
	"math/big"
	"net/netip"
)

// interval is a closed interval of addresses of one family.
type interval struct{ from, to netip.Addr }

func (i interval) contains(a netip.Addr) bool {
	return i.from.Compare(a) <= 0 && a.Compare(i.to) <= 0
}

// size is a big.Int since a /64 holds more than a uint64.
func (i interval) size() *big.Int {
	size := new(big.Int).Sub(number(i.to), number(i.from))
	return size.Add(size, big.NewInt(1))
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

// prefixInterval is every address of p, host bits all 0 to all 1.
func prefixInterval(p netip.Prefix) interval {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return interval{p.Masked().Addr(), last}
}

// merge returns the union of sorted intervals, disjoint and clipped to bounds.
func merge(sorted []interval, bounds interval) []interval {
	var merged []interval
	for _, next := range sorted {
		if next.to.Less(bounds.from) || bounds.to.Less(next.from) {
			continue
		}
		next = interval{later(next.from, bounds.from), earlier(next.to, bounds.to)}
		if n := len(merged); n > 0 && next.from.Compare(merged[n-1].to) <= 0 {
			merged[n-1].to = later(merged[n-1].to, next.to)
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}
