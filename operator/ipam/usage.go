package ipam

import (
	"maps"
	"math/big"
	"net/netip"
	"slices"
)

// Usage tells how full a range is.
type Usage struct {
	Prefix netip.Prefix
	Scope  string
	// Total, Allocated and Free are decimal; Free counts resting addresses too, but none that is set aside.
	Total, Allocated, Free string
	// Full tells that not even a resting address is left.
	Full bool
}

// Usage returns one element per range, in the order that they were given in.
func (p *Pool) Usage() []Usage {
	usage := make([]Usage, 0, len(p.segments))
	aside := p.asideCounts()
	for _, s := range p.segments {
		total, used := s.Total(), big.NewInt(s.used)
		free := new(big.Int).Sub(total, new(big.Int).Add(used, big.NewInt(aside[s])))
		usage = append(usage, Usage{
			Prefix: s.Prefix, Scope: s.Scope, Total: total.String(), Allocated: used.String(), Free: free.String(), Full: free.Sign() <= 0,
		})
	}
	return usage
}

// Scopes returns the scopes of which an address is in use, whoever holds it.
func (p *Pool) Scopes() []string {
	used := map[string]bool{}
	for _, s := range p.segments {
		if s.used > 0 {
			used[s.Scope] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}
