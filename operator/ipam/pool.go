package ipam

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

var (
	// ErrExhausted is wrapped by errors that name the family and its ranges.
	ErrExhausted = errors.New("every address is in use")
	// ErrConflict is wrapped by errors that name the address and its owner.
	ErrConflict = errors.New("address is in use")
)

// Owner identifies the holder of an address, in practice namespace/name of a PodNetworkAttachment.
type Owner string

// Assignment is an address that was given out, and the range that it is from.
type Assignment struct {
	Addr    netip.Addr
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Pool is the addresses of one Network. The zero value is not usable; see New.
type Pool struct {
	quarantine time.Duration
	// segments in the Network's order, then nowhere.
	segments []*segment
	// nowhere keeps addresses that no range has any more: in use until released, then resting in case that
	// the range comes back.
	nowhere *segment
	used    map[netip.Addr]holding
	resting map[netip.Addr]*list.Element
}

type holding struct {
	owner Owner
	in    *segment
}

// New returns a pool in which no address is in use.
func New(ranges []Range, quarantine time.Duration) *Pool {
	p := &Pool{nowhere: newSegment(Range{}), used: map[netip.Addr]holding{}, resting: map[netip.Addr]*list.Element{}}
	p.Reconfigure(ranges, quarantine)
	return p
}

// Allocate gives owner one address of each family that has a range, all or nothing. Order of preference within
// a family: each range in turn, its never-used addresses before those whose quarantine is over; and when no
// range has any, the address that has rested longest. The error wraps ErrExhausted.
func (p *Pool) Allocate(owner Owner, now time.Time) ([]Assignment, error) {
	var picked []Assignment
	for _, family := range []Family{IPv4, IPv6} {
		if !p.has(family) {
			continue
		}
		a, s, ok := p.pick(family, now)
		if !ok {
			return nil, fmt.Errorf("%s %s: %w", family, p.prefixes(family), ErrExhausted)
		}
		picked = append(picked, Assignment{Addr: a, Prefix: s.Prefix, Gateway: s.Gateway})
	}
	for _, a := range picked {
		p.take(a.Addr, owner)
	}
	return picked, nil
}

func (p *Pool) pick(family Family, now time.Time) (netip.Addr, *segment, bool) {
	var oldest rest
	var from *segment
	for _, s := range p.segments {
		if s.Family() != family {
			continue
		}
		if a, ok := s.next(p.known); ok {
			return a, s, true
		}
		r, ok := s.oldest()
		if ok && now.Sub(r.since) >= p.quarantine {
			return r.addr, s, true
		}
		if ok && (from == nil || r.since.Before(oldest.since)) {
			oldest, from = r, s
		}
	}
	return oldest.addr, from, from != nil
}

func (p *Pool) known(a netip.Addr) bool {
	_, used := p.used[a]
	return used || p.resting[a] != nil
}

// take records a as in use; it must not be.
func (p *Pool) take(a netip.Addr, owner Owner) {
	s := p.segmentOf(a)
	if e := p.resting[a]; e != nil {
		s.resting.Remove(e)
		delete(p.resting, a)
	}
	s.used++
	p.used[a] = holding{owner, s}
}

func (p *Pool) segmentOf(a netip.Addr) *segment {
	for _, s := range p.segments {
		if s.Contains(a) {
			return s
		}
	}
	return p.nowhere
}

// Claim records that owner holds a, whatever the ranges say. Claiming again is fine. The error wraps ErrConflict.
func (p *Pool) Claim(a netip.Addr, owner Owner) error {
	if held, ok := p.used[a]; ok {
		if held.owner == owner {
			return nil
		}
		return fmt.Errorf("%s held by %s: %w", a, held.owner, ErrConflict)
	}
	p.take(a, owner)
	return nil
}

// Transfer hands a over from one owner to another, such as from a reservation to the object that was made of
// it. It reports whether from held a.
func (p *Pool) Transfer(a netip.Addr, from, to Owner) bool {
	held, ok := p.used[a]
	if !ok || held.owner != from {
		return false
	}
	held.owner = to
	p.used[a] = held
	return true
}

// Release frees a if owner holds it, to rest from now on; anything else is left alone. It reports whether
// an address was freed.
func (p *Pool) Release(a netip.Addr, owner Owner, now time.Time) bool {
	s, ok := p.drop(a, owner)
	if ok {
		p.resting[a] = s.resting.PushBack(rest{a, now})
	}
	if s == p.nowhere {
		p.forget(now)
	}
	return ok
}

// Cancel takes back an allocation that never left this process. The address needs no rest: it comes first
// among those that were used.
func (p *Pool) Cancel(a netip.Addr, owner Owner) {
	if s, ok := p.drop(a, owner); ok {
		p.resting[a] = s.resting.PushFront(rest{addr: a})
	}
}

func (p *Pool) drop(a netip.Addr, owner Owner) (*segment, bool) {
	held, ok := p.used[a]
	if !ok || held.owner != owner {
		return nil, false
	}
	delete(p.used, a)
	held.in.used--
	return held.in, true
}

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

// Owner returns the holder of a, or "".
func (p *Pool) Owner(a netip.Addr) Owner { return p.used[a].owner }

// Quiet tells whether no address is in use and none is in quarantine.
func (p *Pool) Quiet(now time.Time) bool {
	for _, e := range p.resting {
		if now.Sub(e.Value.(rest).since) < p.quarantine {
			return false
		}
	}
	return len(p.used) == 0
}

func (p *Pool) has(family Family) bool {
	return slices.ContainsFunc(p.segments, func(s *segment) bool { return s.Family() == family })
}

func (p *Pool) prefixes(family Family) string {
	names := map[string]bool{}
	for _, s := range p.segments {
		if s.Family() == family {
			names[s.Prefix.String()] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}
