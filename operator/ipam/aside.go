package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// AsideTime is how long an address is set aside. Until then a foreign owner costs one refused sandbox, which a pod pays
// with some 15 s, at most every ten minutes; and when the owner goes, the address is not lost for longer than that.
const AsideTime = 10 * time.Minute

// MaxAside is the limit of Network.status.setAside. A host that answers for every address would fill any list.
const MaxAside = 256

// Aside is an address that a machine uses which is not ours.
type Aside struct {
	Addr netip.Addr
	// By tells who has it, in practice a MAC.
	By    string
	Since time.Time
}

func (a Aside) over(now time.Time) bool { return now.Sub(a.Since) >= AsideTime }

// SetAside keeps an address from being given out for AsideTime after a.Since. One that is in use stays with its owner and
// is set aside when it is released. It reports whether the address was not set aside before.
func (p *Pool) SetAside(a Aside, now time.Time) bool {
	p.expire(now)
	if _, known := p.aside[a.Addr]; known || a.over(now) {
		return false
	}
	if e := p.resting[a.Addr]; e != nil {
		p.segmentOf(a.Addr).resting.Remove(e)
		delete(p.resting, a.Addr)
	}
	p.aside[a.Addr] = a
	if all := p.sortedAside(); len(all) > MaxAside {
		p.endAside(all[0], now)
	}
	return true
}

// Aside returns the addresses that are set aside, the oldest first.
func (p *Pool) Aside(now time.Time) []Aside {
	p.expire(now)
	return p.sortedAside()
}

// IsAside returns what is known of an address that is set aside.
func (p *Pool) IsAside(a netip.Addr, now time.Time) (Aside, bool) {
	p.expire(now)
	aside, ok := p.aside[a]
	return aside, ok
}

func (p *Pool) sortedAside() []Aside {
	all := make([]Aside, 0, len(p.aside))
	for _, a := range p.aside {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Aside) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Addr.Compare(b.Addr))
	})
	return all
}

// expire comes before anything that adds to a list of resting addresses, so that these stay in the order of time.
func (p *Pool) expire(now time.Time) {
	if len(p.aside) == 0 {
		return
	}
	for _, a := range p.sortedAside() {
		if !a.over(now) {
			return
		}
		p.endAside(a, a.Since.Add(AsideTime))
	}
}

// endAside lets the address rest from then on, as if it had been in use until then. What no range has is forgotten.
func (p *Pool) endAside(a Aside, then time.Time) {
	delete(p.aside, a.Addr)
	s := p.segmentOf(a.Addr)
	if _, used := p.used[a.Addr]; used || s == p.nowhere {
		return
	}
	p.resting[a.Addr] = s.resting.PushBack(rest{a.Addr, then})
}

// asideCounts tells how many addresses of each segment are set aside and not in use.
func (p *Pool) asideCounts() map[*segment]int64 {
	counts := map[*segment]int64{}
	for a := range p.aside {
		if _, used := p.used[a]; !used {
			counts[p.segmentOf(a)]++
		}
	}
	return counts
}
