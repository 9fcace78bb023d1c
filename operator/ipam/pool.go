package ipam

import (
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
	// aside addresses are neither resting nor given out; those that are in use as well are so until released.
	aside map[netip.Addr]Aside
}

type holding struct {
	owner Owner
	in    *segment
}

// New returns a pool in which no address is in use.
func New(ranges []Range, quarantine time.Duration) *Pool {
	p := &Pool{
		nowhere: newSegment(Range{}), used: map[netip.Addr]holding{}, resting: map[netip.Addr]*list.Element{}, aside: map[netip.Addr]Aside{},
	}
	p.Reconfigure(ranges, quarantine)
	return p
}

// Allocate gives owner one address of each family that has a range, all or nothing. Order of preference within
// a family: each range in turn, its never-used addresses before those whose quarantine is over; and when no
// range has any, the address that has rested longest. The error wraps ErrExhausted.
func (p *Pool) Allocate(owner Owner, now time.Time) ([]Assignment, error) {
	p.expire(now)
	var picked []Assignment
	for _, family := range []Family{IPv4, IPv6} {
		if !p.has(family) {
			continue
		}
		a, s, ok := p.pick(family, now)
		if !ok {
			return nil, p.exhausted(family)
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
	_, aside := p.aside[a]
	return used || aside || p.resting[a] != nil
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

// Release frees a if owner holds it, to rest from now on or to be set aside; anything else is left alone. It reports whether
// an address was freed.
func (p *Pool) Release(a netip.Addr, owner Owner, now time.Time) bool {
	p.expire(now)
	s, ok := p.drop(a, owner)
	if _, aside := p.aside[a]; ok && !aside {
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
	s, ok := p.drop(a, owner)
	if _, aside := p.aside[a]; ok && !aside {
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

// Owner returns the holder of a, or "".
func (p *Pool) Owner(a netip.Addr) Owner { return p.used[a].owner }

func (p *Pool) has(family Family) bool {
	return slices.ContainsFunc(p.segments, func(s *segment) bool { return s.Family() == family })
}

func (p *Pool) exhausted(family Family) error {
	var aside int64
	for _, s := range p.segments {
		if s.Family() == family {
			aside += p.asideOf(s)
		}
	}
	err := fmt.Errorf("%s %s: %w", family, p.prefixes(family), ErrExhausted)
	if aside > 0 {
		return fmt.Errorf("%w, or set aside because another machine has it (%d)", err, aside)
	}
	return err
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
