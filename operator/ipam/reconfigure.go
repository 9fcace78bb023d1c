package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// forget drops addresses without a range whose quarantine is over, so that they cost no memory for ever.
func (p *Pool) forget(now time.Time) {
	for {
		r, ok := p.nowhere.oldest()
		if !ok || now.Sub(r.since) < p.quarantine {
			return
		}
		p.nowhere.resting.Remove(p.nowhere.resting.Front())
		delete(p.resting, r.addr)
	}
}

// Reconfigure replaces the ranges. Addresses in use stay so, also where no range has them any more (see
// Outside); resting addresses go on resting. O(addresses known) when the ranges differ.
func (p *Pool) Reconfigure(ranges []Range, quarantine time.Duration) {
	p.quarantine = quarantine
	old := p.segments
	p.segments = nil
	for _, r := range ranges {
		s := newSegment(r)
		if i := slices.IndexFunc(old, func(o *segment) bool { return o.sameSpace(&r) }); i >= 0 {
			s.unused = old[i].unused
		}
		p.segments = append(p.segments, s)
	}
	rests := make([]rest, 0, len(p.resting))
	for _, e := range p.resting {
		rests = append(rests, e.Value.(rest))
	}
	slices.SortFunc(rests, func(a, b rest) int {
		return cmp.Or(a.since.Compare(b.since), a.addr.Compare(b.addr))
	})
	p.nowhere = newSegment(Range{})
	for _, r := range rests {
		p.resting[r.addr] = p.segmentOf(r.addr).resting.PushBack(r)
	}
	for a, held := range p.used {
		held.in = p.segmentOf(a)
		held.in.used++
		p.used[a] = held
	}
}

// Rotate is called once after a rebuild: it makes each range continue behind its highest address in use, since
// the addresses released just before the restart are forgotten and should not be the next to be given out.
func (p *Pool) Rotate() {
	highest := map[*segment]netip.Addr{}
	for a, held := range p.used {
		if held.in != p.nowhere && (!highest[held.in].IsValid() || highest[held.in].Less(a)) {
			highest[held.in] = a
		}
	}
	for s, a := range highest {
		s.rotate(a)
	}
}

// Outside returns the addresses in use that no range has, with their owners.
func (p *Pool) Outside() map[netip.Addr]Owner {
	outside := map[netip.Addr]Owner{}
	if p.nowhere.used == 0 {
		return outside
	}
	for a, held := range p.used {
		if held.in == p.nowhere {
			outside[a] = held.owner
		}
	}
	return outside
}

// Quiet tells whether no address is in use, in quarantine or set aside.
func (p *Pool) Quiet(now time.Time) bool {
	for _, a := range p.aside {
		if !a.over(now) {
			return false
		}
	}
	for _, e := range p.resting {
		if now.Sub(e.Value.(rest).since) < p.quarantine {
			return false
		}
	}
	return len(p.used) == 0
}
