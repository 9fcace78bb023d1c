package ipam

import (
	"math/big"
	"net/netip"
)

// Usage tells how full a range is.
type Usage struct {
	Prefix netip.Prefix
	// Total, Allocated and Free are decimal; Free counts resting addresses too, but none that is set aside.
	Total, Allocated, Free string
	// Full tells that not even a resting address is left.
	Full bool
}

// Usage returns one element per range, in the Network's order.
func (p *Pool) Usage() []Usage {
	usage := make([]Usage, 0, len(p.segments))
	for _, s := range p.segments {
		total, used := s.Total(), big.NewInt(s.used)
		free := new(big.Int).Sub(total, new(big.Int).Add(used, big.NewInt(p.asideOf(s))))
		usage = append(usage, Usage{
			Prefix: s.Prefix, Total: total.String(), Allocated: used.String(), Free: free.String(), Full: free.Sign() <= 0,
		})
	}
	return usage
}
