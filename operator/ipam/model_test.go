package ipam

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the allocator that nobody could get wrong: sets, and a search through every address.
type model struct {
	ranges     []Range
	quarantine time.Duration
	used       map[netip.Addr]Owner
	released   map[netip.Addr]time.Time
	aside      map[netip.Addr]time.Time
}

// isAside ends what is over: such an address was as good as in use until then.
func (m *model) isAside(a netip.Addr, now time.Time) bool {
	since, aside := m.aside[a]
	if !aside {
		return false
	}
	if now.Sub(since) < AsideTime {
		return true
	}
	delete(m.aside, a)
	if _, used := m.used[a]; !used && m.inside(a) {
		m.released[a] = since.Add(AsideTime)
	}
	return false
}

// allowed returns the addresses of which any may be given out next.
func (m *model) allowed(scope string, family Family, now time.Time) map[netip.Addr]bool {
	fresh, over := map[int][]netip.Addr{}, map[int][]netip.Addr{}
	var oldest []netip.Addr
	for i, r := range m.ranges {
		for a := r.bounds.from; r.Scope == scope && r.Family() == family && r.bounds.contains(a); a = a.Next() {
			if _, used := m.used[a]; used || !r.Contains(a) || m.isAside(a, now) {
				continue
			}
			since, resting := m.released[a]
			switch {
			case !resting:
				fresh[i] = append(fresh[i], a)
				continue
			case now.Sub(since) >= m.quarantine:
				over[i] = append(over[i], a)
			}
			oldest = append(oldest, a)
		}
	}
	for i := range m.ranges {
		if len(fresh[i]) > 0 {
			return set(fresh[i])
		}
		if len(over[i]) > 0 {
			return set(m.longest(over[i]))
		}
	}
	return set(m.longest(oldest))
}

// longest returns those that have rested longest.
func (m *model) longest(all []netip.Addr) []netip.Addr {
	var longest []netip.Addr
	for _, a := range all {
		switch {
		case len(longest) == 0 || m.released[a].Before(m.released[longest[0]]):
			longest = []netip.Addr{a}
		case m.released[a].Equal(m.released[longest[0]]):
			longest = append(longest, a)
		}
	}
	return longest
}

// forget is what a release of an address that no range has does with others like it: those that have rested
// long enough need not be remembered.
func (m *model) forget(released netip.Addr, now time.Time) {
	if m.inside(released) {
		return
	}
	maps.DeleteFunc(m.released, func(a netip.Addr, since time.Time) bool {
		return !m.inside(a) && now.Sub(since) >= m.quarantine
	})
}

func (m *model) inside(a netip.Addr) bool {
	return slices.ContainsFunc(m.ranges, func(r Range) bool { return r.Contains(a) })
}

func set(all []netip.Addr) map[netip.Addr]bool {
	s := map[netip.Addr]bool{}
	for _, a := range all {
		s[a] = true
	}
	return s
}

func (m *model) has(scope string, family Family) bool {
	return slices.ContainsFunc(m.ranges, func(r Range) bool { return r.Scope == scope && r.Family() == family })
}

// around tells whether a range of the scope is of the subnet that a is in.
func (m *model) around(scope string, a netip.Addr) bool {
	return slices.ContainsFunc(m.ranges, func(r Range) bool { return r.Scope == scope && r.Prefix.Contains(a) })
}

func TestPoolAgainstModel(t *testing.T) {
	universe := cidrs(t, "10.0.0.0/29", "10.0.0.16/30", "10.0.0.32/31", "fd00::/126", "fd00::8/127")
	rapid.Check(t, func(t *rapid.T) {
		scopes := rapid.SampledFrom([]string{"", "", "r1", "r2"})
		some := func() []Range {
			var chosen []Range
			for _, r := range universe {
				if rapid.Bool().Draw(t, r.Prefix.String()) {
					chosen = append(chosen, r.InScope(scopes.Draw(t, "scope of "+r.Prefix.String())))
				}
			}
			return chosen
		}
		now := start0
		m := &model{ranges: some(), quarantine: rested, used: map[netip.Addr]Owner{}, released: map[netip.Addr]time.Time{}, aside: map[netip.Addr]time.Time{}}
		p := New(m.ranges, m.quarantine)
		owners := rapid.SampledFrom([]Owner{"a", "b", "c"})
		address := rapid.Custom(func(t *rapid.T) netip.Addr {
			r := rapid.SampledFrom(universe).Draw(t, "range")
			a := r.bounds.from
			for range rapid.IntRange(0, 7).Draw(t, "n") {
				if r.bounds.contains(a.Next()) {
					a = a.Next()
				}
			}
			return a
		})
		t.Repeat(map[string]func(*rapid.T){
			"allocate": func(t *rapid.T) {
				allocate(t, p, m, Request{Owner: owners.Draw(t, "owner"), Scope: scopes.Draw(t, "scope")}, now)
			},
			"allocate beside a fixed address": func(t *rapid.T) {
				r := Request{Owner: owners.Draw(t, "owner"), Scope: scopes.Draw(t, "scope"), Fixed: []netip.Addr{address.Draw(t, "fixed")}}
				if m.around(r.Scope, r.Fixed[0]) {
					allocate(t, p, m, r, now)
				} else if _, err := p.Allocate(r, now); !errors.Is(err, ErrOutside) {
					t.Fatalf("%v: %v", r, err)
				}
			},
			"release": func(t *rapid.T) {
				a, o := address.Draw(t, "address"), owners.Draw(t, "owner")
				held := m.used[a] == o
				m.expire(now)
				if p.Release(a, o, now) != held {
					t.Fatalf("release of %s by %s, model %v", a, o, held)
				}
				if held {
					delete(m.used, a)
					if !m.isAside(a, now) {
						m.released[a] = now
					}
					m.forget(a, now)
				}
			},
			"claim": func(t *rapid.T) {
				a, o := address.Draw(t, "address"), owners.Draw(t, "owner")
				err := p.Claim(a, o)
				if held, used := m.used[a]; used && held != o {
					if !errors.Is(err, ErrConflict) {
						t.Fatalf("claim of %s: %v, held by %s", a, err, held)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				m.used[a] = o
				delete(m.released, a)
			},
			"set aside": func(t *rapid.T) {
				a := address.Draw(t, "address")
				m.expire(now)
				before := m.isAside(a, now)
				if p.SetAside(Aside{Addr: a, Since: now}, now) == before {
					t.Fatalf("setting %s aside, which was aside in the model: %v", a, before)
				}
				if !before {
					m.aside[a] = now
					delete(m.released, a)
				}
			},
			"ten minutes": func(*rapid.T) { now = now.Add(AsideTime) },
			"reconfigure": func(*rapid.T) {
				p.expire(now)
				m.expire(now)
				m.ranges = some()
				p.Reconfigure(slices.Clone(m.ranges), m.quarantine)
			},
			"rotate": func(*rapid.T) { p.Rotate() },
			"time":   func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "s")) * time.Second) },
			"":       func(t *rapid.T) { check(t, p, m) },
		})
	})
}

func (m *model) expire(now time.Time) {
	for a := range m.aside {
		m.isAside(a, now)
	}
}

func allocate(t *rapid.T, p *Pool, m *model, r Request, now time.Time) {
	m.expire(now)
	var allowed []map[netip.Addr]bool
	exhausted := false
	for _, family := range []Family{IPv4, IPv6} {
		switch {
		case len(r.Fixed) > 0 && FamilyOf(r.Fixed[0]) == family:
			allowed = append(allowed, set(r.Fixed))
		case m.has(r.Scope, family):
			a := m.allowed(r.Scope, family, now)
			exhausted = exhausted || len(a) == 0
			allowed = append(allowed, a)
		}
	}
	got, err := p.Allocate(r, now)
	if exhausted != errors.Is(err, ErrExhausted) || !exhausted && len(got) != len(allowed) {
		t.Fatalf("got %v, %v; model allows %v", got, err, allowed)
	}
	for i, a := range got {
		if !allowed[i][a.Addr] || !m.around(r.Scope, a.Addr) || !a.Prefix.Contains(a.Addr) {
			t.Fatalf("got %v, model allows %v", a, allowed[i])
		}
		if !slices.Contains(r.Fixed, a.Addr) {
			m.used[a.Addr] = r.Owner
			delete(m.released, a.Addr)
		}
	}
}

func check(t *rapid.T, p *Pool, m *model) {
	if len(p.used) != len(m.used) {
		t.Fatalf("%d in use, model %d", len(p.used), len(m.used))
	}
	outside := p.Outside()
	for a, o := range m.used {
		if p.Owner(a) != o {
			t.Fatalf("%s is held by %q, model %q", a, p.Owner(a), o)
		}
		if _, out := outside[a]; out == m.inside(a) {
			t.Fatalf("%s: outside %v, inside %v", a, out, m.inside(a))
		}
	}
}
