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

// Reconfigure replaces the ranges, whose prefixes must not overlap. Addresses in use stay so, also where no range has
// them any more (see Outside); resting addresses go on resting. Costs O(ranges), and O(addresses known) only where a
// range that had addresses went or changed: a Network gets its racks one after the other.
func (p *Pool) Reconfigure(ranges []Range, quarantine time.Duration) {
	p.quarantine = quarantine
	gone := map[netip.Prefix]*segment{}
	for _, s := range p.segments {
		gone[s.Prefix] = s
	}
	p.segments, p.scopes = nil, map[string][]*segment{}
	for _, r := range ranges {
		s := newSegment(r)
		if o := gone[r.Prefix]; o != nil && o.sameSpace(&r) {
			s = o
			s.Range = r
			delete(gone, r.Prefix)
		}
		p.segments = append(p.segments, s)
		p.scopes[r.Scope] = append(p.scopes[r.Scope], s)
	}
	p.sorted = slices.SortedFunc(slices.Values(p.segments), func(a, b *segment) int {
		return a.Prefix.Addr().Compare(b.Prefix.Addr())
	})
	left := map[*segment]bool{p.nowhere: true}
	for _, s := range gone {
		left[s] = true
	}
	p.nowhere = newSegment(Range{})
	p.moveRests(left)
	p.moveUsed(left)
}

// moveRests finds new segments for what rests in those that are left, in the order of time. Only such segments get any of
// it that are new too.
func (p *Pool) moveRests(left map[*segment]bool) {
	var rests []rest
	for s := range left {
		for e := s.resting.Front(); e != nil; e = e.Next() {
			rests = append(rests, e.Value.(rest))
		}
	}
	slices.SortFunc(rests, func(a, b rest) int {
		return cmp.Or(a.since.Compare(b.since), a.addr.Compare(b.addr))
	})
	for _, r := range rests {
		p.resting[r.addr] = p.segmentOf(r.addr).resting.PushBack(r)
	}
}

func (p *Pool) moveUsed(left map[*segment]bool) {
	var count int64
	for s := range left {
		count += s.used
	}
	if count == 0 {
		return
	}
	for a, held := range p.used {
		if left[held.in] {
			held.in = p.segmentOf(a)
			held.in.used++
			p.used[a] = held
		}
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
