package ipam

import (
	"net/netip"
	"testing"
	"time"
)

func aside(addr string, since time.Time) Aside {
	return Aside{Addr: netip.MustParseAddr(addr), By: "02:aa:00:00:00:01", Since: since}
}

func TestSetAside(t *testing.T) {
	later := start0.Add(time.Minute)
	over := start0.Add(AsideTime)
	for name, c := range map[string]struct {
		prepare func(*Pool)
		at      time.Time
		want    string
	}{
		"never used":                   {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), start0) }, start0, "10.0.0.1"},
		"just before its time is over": {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), start0); take(p, "b", start0) }, over.Add(-1), "IPv4 10.0.0.0/31: every address is in use, or set aside because another machine has it (1)"},
		"its time is over":             {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), start0); take(p, "b", start0) }, over, "10.0.0.0"},
		"others come first":            {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), start0) }, over, "10.0.0.1"},
		"recorded before a restart":    {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), later) }, later, "10.0.0.1"},
		"its time was over long ago":   {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), over) }, over, "10.0.0.0"},
		"twice lasts as long as once": {func(p *Pool) {
			p.SetAside(aside("10.0.0.0", start0), start0)
			p.SetAside(aside("10.0.0.0", later), later)
			take(p, "b", later)
		}, over, "10.0.0.0"},
		"in use, then released": {func(p *Pool) {
			take(p, "b", start0)
			p.SetAside(aside("10.0.0.0", start0), start0)
			p.Release(netip.MustParseAddr("10.0.0.0"), "b", start0)
		}, later, "10.0.0.1"},
		"reserved, then cancelled": {func(p *Pool) {
			take(p, "b", start0)
			p.SetAside(aside("10.0.0.0", start0), start0)
			p.Cancel(netip.MustParseAddr("10.0.0.0"), "b")
		}, later, "10.0.0.1"},
		"resting": {func(p *Pool) {
			take(p, "b", start0)
			p.Release(netip.MustParseAddr("10.0.0.0"), "b", start0)
			p.SetAside(aside("10.0.0.0", start0), start0)
			take(p, "c", start0)
		}, later, "IPv4 10.0.0.0/31: every address is in use, or set aside because another machine has it (1)"},
		"of another range": {func(p *Pool) { p.SetAside(aside("10.9.0.0", start0), start0) }, later, "10.0.0.0"},
		"the ranges change and go back": {func(p *Pool) {
			p.SetAside(aside("10.0.0.0", start0), start0)
			p.Reconfigure(nil, rested)
			p.Reconfigure(cidrs(t, "10.0.0.0/31"), rested)
		}, later, "10.0.0.1"},
		"rebuilt": {func(p *Pool) { p.SetAside(aside("10.0.0.0", start0), start0); p.Rotate() }, later, "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(cidrs(t, "10.0.0.0/31"), rested)
			c.prepare(p)
			expect(t, take(p, "a", c.at), c.want)
		})
	}
}

// However late it is noticed, the rest begins when the time was over: of two addresses the one that rests longer comes first.
func TestRestAfterSetAside(t *testing.T) {
	over := start0.Add(AsideTime)
	p := New(cidrs(t, "10.0.0.0/31"), rested)
	take(p, "a", start0)
	take(p, "b", start0)
	p.SetAside(aside("10.0.0.1", start0), start0)
	p.Release(netip.MustParseAddr("10.0.0.1"), "b", start0)
	p.Release(netip.MustParseAddr("10.0.0.0"), "a", over.Add(time.Second))
	expect(t, take(p, "c", over.Add(rested)), "10.0.0.1")
	expect(t, take(p, "d", over.Add(rested)), "10.0.0.0")

	p = New(cidrs(t, "10.0.0.0/31", "10.1.0.0/31"), rested)
	for _, owner := range []Owner{"a", "b", "c"} {
		take(p, owner, start0)
	}
	p.SetAside(aside("10.0.0.0", start0), start0)
	p.Release(netip.MustParseAddr("10.0.0.0"), "a", start0)
	expect(t, take(p, "d", over.Add(rested-1)), "10.1.0.1")
	expect(t, take(p, "e", over.Add(rested)), "10.0.0.0")
}

// What is set aside stays with an owner that uses it, and is told of until it is over.
func TestSetAsideKeepsTheOwner(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/31"), rested)
	expect(t, take(p, "a", start0), "10.0.0.0")
	first := aside("10.0.0.0", start0)
	if !p.SetAside(first, start0) || p.SetAside(first, start0) {
		t.Error("it is set aside once")
	}
	expect(t, string(p.Owner(first.Addr)), "a")
	if all := p.Aside(start0); len(all) != 1 || all[0] != first {
		t.Errorf("set aside are %v", all)
	}
	if all := p.Aside(start0.Add(AsideTime)); len(all) != 0 {
		t.Errorf("set aside for ever are %v", all)
	}
	expect(t, string(p.Owner(first.Addr)), "a")
}

func TestUsageWithoutWhatIsSetAside(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/31"), rested)
	take(p, "a", start0)
	p.SetAside(aside("10.0.0.0", start0), start0)
	expect(t, p.Usage()[0].Free, "1")
	p.SetAside(aside("10.0.0.1", start0), start0)
	if u := p.Usage()[0]; u.Free != "0" || !u.Full || p.Quiet(start0) {
		t.Errorf("usage %+v", u)
	}
	p.Release(netip.MustParseAddr("10.0.0.0"), "a", start0)
	if p.Quiet(start0) || !p.Quiet(start0.Add(AsideTime)) {
		t.Error("a pool is quiet when nothing is set aside")
	}
}

// The list is bounded; the oldest is given out again first.
func TestSetAsideIsBounded(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/16"), rested)
	addr := netip.MustParseAddr("10.0.2.255")
	for i := range MaxAside + 10 {
		p.SetAside(Aside{Addr: addr, Since: start0.Add(time.Duration(i) * time.Second)}, start0.Add(time.Duration(i)*time.Second))
		addr = addr.Prev()
	}
	all := p.Aside(start0.Add(MaxAside * time.Second))
	if len(all) != MaxAside || all[0].Addr.String() != "10.0.2.245" {
		t.Errorf("%d are set aside, the first is %v", len(all), all[0])
	}
}

func TestIsAside(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/31"), rested)
	p.SetAside(aside("10.0.0.0", start0), start0)
	if got, ok := p.IsAside(netip.MustParseAddr("10.0.0.0"), start0); !ok || got != aside("10.0.0.0", start0) {
		t.Errorf("%v, %v", got, ok)
	}
	for addr, at := range map[string]time.Time{"10.0.0.0": start0.Add(AsideTime), "10.0.0.1": start0} {
		if _, ok := p.IsAside(netip.MustParseAddr(addr), at); ok {
			t.Errorf("%s is set aside at %s", addr, at)
		}
	}
}
