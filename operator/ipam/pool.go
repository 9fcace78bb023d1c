package ipam

import (
	"container/list"
	"errors"
	"fmt"
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
	// ErrOutside is wrapped by errors that name the address.
	ErrOutside = errors.New("address is in no range")
)

// Owner identifies the holder of an address, in practice namespace/name of a PodNetworkAttachment.
type Owner string

// Assignment is an address that was given out, and the range that it is from.
type Assignment struct {
	Addr    netip.Addr
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Request asks for one address of each family.
type Request struct {
	Owner Owner
	// Scope restricts the ranges to those of a rack.
	Scope string
	// Fixed are addresses that the caller holds already, under whatever name; no other is given out of their families.
	Fixed []netip.Addr
}

// Pool is the addresses of one Network. The zero value is not usable; see New.
type Pool struct {
	quarantine time.Duration
	// segments in the order that they were given in.
	segments []*segment
	// scopes are the segments of each scope, in that order too; sorted are all of them by prefix.
	scopes map[string][]*segment
	sorted []*segment
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

// Allocate gives the owner one address of each family that has a range of the scope, all or nothing. Order of preference
// within a family: each range in turn, its never-used addresses before those whose quarantine is over; and when no
// range has any, the address that has rested longest. Fixed addresses are only looked up: they get the prefix and the
// gateway of the range that they are in. The error wraps ErrExhausted or ErrOutside.
func (p *Pool) Allocate(r Request, now time.Time) ([]Assignment, error) {
	p.expire(now)
	assigned, err := p.fixed(r)
	if err != nil {
		return nil, err
	}
	var picked []netip.Addr
	for _, family := range []Family{IPv4, IPv6} {
		if !p.has(r.Scope, family) || slices.ContainsFunc(r.Fixed, func(a netip.Addr) bool { return FamilyOf(a) == family }) {
			continue
		}
		a, s, ok := p.pick(r.Scope, family, now)
		if !ok {
			return nil, p.exhausted(r.Scope, family)
		}
		picked = append(picked, a)
		assigned = append(assigned, Assignment{Addr: a, Prefix: s.Prefix, Gateway: s.Gateway})
	}
	for _, a := range picked {
		p.take(a, r.Owner)
	}
	slices.SortFunc(assigned, func(a, b Assignment) int { return a.Addr.Compare(b.Addr) })
	return assigned, nil
}

func (p *Pool) fixed(r Request) ([]Assignment, error) {
	var assigned []Assignment
	for _, a := range r.Fixed {
		s := p.around(a)
		if s == nil || s.Scope != r.Scope {
			return nil, fmt.Errorf("%s: %w", a, ErrOutside)
		}
		assigned = append(assigned, Assignment{Addr: a, Prefix: s.Prefix, Gateway: s.Gateway})
	}
	return assigned, nil
}

func (p *Pool) pick(scope string, family Family, now time.Time) (netip.Addr, *segment, bool) {
	var oldest rest
	var from *segment
	for _, s := range p.scopes[scope] {
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

// segmentOf is the segment that can give a out, nowhere if none can.
func (p *Pool) segmentOf(a netip.Addr) *segment {
	if s := p.around(a); s != nil && s.Contains(a) {
		return s
	}
	return p.nowhere
}

// around is the segment whose prefix has a, nil if none has. Prefixes do not overlap, so it is the last that begins at a
// or before.
func (p *Pool) around(a netip.Addr) *segment {
	i, found := slices.BinarySearchFunc(p.sorted, a, func(s *segment, a netip.Addr) int { return s.Prefix.Addr().Compare(a) })
	if !found {
		i--
	}
	if i < 0 || !p.sorted[i].Prefix.Contains(a) {
		return nil
	}
	return p.sorted[i]
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

func (p *Pool) has(scope string, family Family) bool {
	return slices.ContainsFunc(p.scopes[scope], func(s *segment) bool { return s.Family() == family })
}

func (p *Pool) exhausted(scope string, family Family) error {
	var aside int64
	var names []string
	counts := p.asideCounts()
	for _, s := range p.scopes[scope] {
		if s.Family() == family {
			aside += counts[s]
			names = append(names, s.Prefix.String())
		}
	}
	slices.Sort(names)
	err := fmt.Errorf("%s %s: %w", family, strings.Join(names, ", "), ErrExhausted)
	if aside > 0 {
		return fmt.Errorf("%w, or set aside because another machine has it (%d)", err, aside)
	}
	return err
}
