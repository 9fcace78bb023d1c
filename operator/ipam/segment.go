package ipam

import (
	"container/list"
	"net/netip"
	"time"
)

// segment is one range of a pool with what is known about its addresses. Each address of the range is in
// exactly one state: in use (pool.used), set aside (pool.aside), resting (an element of resting) or never used.
type segment struct {
	Range
	// unused holds every address that was never used, and possibly some that are in use, resting or set aside because
	// Claim or SetAside took them out of order; next skips those. It is consumed from the front.
	unused []interval
	// resting addresses, oldest release first.
	resting list.List
	// used counts the addresses in use.
	used int64
}

// rest is the value of an element of segment.resting.
type rest struct {
	addr  netip.Addr
	since time.Time
}

func newSegment(r Range) *segment {
	s := &segment{Range: r, unused: []interval{r.bounds}}
	s.resting.Init()
	return s
}

// next returns the first never-used address without taking it. known tells which addresses are in use,
// resting or set aside. What is skipped is never looked at again, so that the cost is O(1) per allocation over time.
func (s *segment) next(known func(netip.Addr) bool) (netip.Addr, bool) {
	for len(s.unused) > 0 {
		a := s.unused[0].from
		if end, blocked := s.blockedUntil(a); blocked {
			s.consume(end)
			continue
		}
		if !known(a) {
			return a, true
		}
		s.consume(a)
	}
	return netip.Addr{}, false
}

// consume takes everything up to and including a from the front of unused.
func (s *segment) consume(a netip.Addr) {
	front := s.unused[0]
	if a.Compare(front.to) >= 0 {
		s.unused = s.unused[1:]
		return
	}
	s.unused[0].from = a.Next()
}

// rotate makes never-used addresses behind last come first.
func (s *segment) rotate(last netip.Addr) {
	s.unused = []interval{{s.bounds.from, last}}
	if last != s.bounds.to {
		s.unused = []interval{{last.Next(), s.bounds.to}, {s.bounds.from, last}}
	}
}

func (s *segment) oldest() (rest, bool) {
	front := s.resting.Front()
	if front == nil {
		return rest{}, false
	}
	return front.Value.(rest), true
}
