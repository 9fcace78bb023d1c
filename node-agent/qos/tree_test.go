package qos

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

const (
	kbit = 1_000
	mbit = 1_000_000
	gbit = 1_000_000_000
)

func pod(n byte, guaranteed, maximum uint64) member {
	b := plan.Bandwidth{Guaranteed: guaranteed, Maximum: maximum}
	gso := b.GSOMaxSize()
	if gso == 0 {
		gso = wholeGSO
	}
	return member{mac: mac{2, 0, 0, 0, 0, n}, minor: minorFirst + uint16(n), Bandwidth: b, gso: gso}
}

func TestNewTree(t *testing.T) {
	allow := cmp.AllowUnexported(tree{}, class{})
	got := newTree(100*mbit, wholeGSO, []member{pod(1, 60*mbit, 0), pod(0, 0, 10*mbit)})
	want := tree{
		root: class{minor: 1, rate: 100 * mbit, ceil: 100 * mbit, burst: 16384, cburst: 16384, quantum: 65536},
		leaves: []class{
			{minor: 2, rate: mbit, ceil: 100 * mbit, burst: 16384, cburst: 16384, quantum: 65536, prio: 0, limit: 131072},
			{minor: 3, rate: mbit, ceil: mbit, burst: 16384, cburst: 16384, quantum: 65536, prio: 0, limit: 131072},
			{minor: 4, rate: mbit, ceil: 100 * mbit, burst: 16384, cburst: 16384, quantum: 65536, prio: 7, limit: 131072},
			{minor: 0x10, rate: 64 * kbit, ceil: 10 * mbit, burst: 16384, cburst: 16384, quantum: 16384, prio: 7, limit: 65536},
			{minor: 0x11, rate: 60 * mbit, ceil: 100 * mbit, burst: 16384, cburst: 16384, quantum: 65536, prio: 7, limit: 131072},
		},
	}
	if diff := cmp.Diff(want, got, allow); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPriority(t *testing.T) {
	for priority, want := range map[int]uint32{0: 7, 3: 4, 7: 0} {
		m := pod(0, mbit, 0)
		m.priority = priority
		if got := newTree(gbit, wholeGSO, []member{m}).leaves[3].prio; got != want {
			t.Errorf("priority %d has HTB's prio %d, want %d", priority, got, want)
		}
	}
}

// From 1 Mbit/s to 100 Gbit/s a class can be woken a millisecond late, holds some packets, and waits no longer than it must.
func TestClassesOfAllSpeeds(t *testing.T) {
	for name, c := range map[string]struct {
		maximum uint64
		cburst  uint32
		gso     int
		limit   uint32
		// delay is that of a full queue, in microseconds.
		delay uint64
	}{
		"1 Mbit/s":   {mbit, 16384, 4096, 16384, 131072},
		"10 Mbit/s":  {10 * mbit, 16384, 16384, 65536, 52428},
		"50 Mbit/s":  {50 * mbit, 16384, 65536, 131072, 20971},
		"100 Mbit/s": {100 * mbit, 16384, 65536, 131072, 10485},
		"1 Gbit/s":   {gbit, 125000, 65536, 1250000, 10000},
		"10 Gbit/s":  {10 * gbit, 1250000, 65536, 12500000, 10000},
		"40 Gbit/s":  {40 * gbit, 5000000, 65536, 33554432, 6710},
		"100 Gbit/s": {100 * gbit, 12500000, 65536, 33554432, 2684},
	} {
		t.Run(name, func(t *testing.T) {
			got := newTree(200*gbit, wholeGSO, []member{pod(0, 0, c.maximum)}).leaves[3]
			if got.ceil != c.maximum || got.cburst != c.cburst || got.limit != c.limit || got.quantum != uint32(c.gso) {
				t.Errorf("class %+v, want cburst %d, limit %d, quantum %d", got, c.cburst, c.limit, c.gso)
			}
			if delay := uint64(got.limit) * 8 * mbit / got.ceil; delay != c.delay {
				t.Errorf("a full queue takes %d µs, want %d", delay, c.delay)
			}
			if uint64(got.limit) < 2*uint64(c.gso) {
				t.Errorf("the queue of %d bytes holds less than two packets of %d", got.limit, c.gso)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	for name, c := range map[string]struct {
		rate, wanted uint64
		want         uint32
	}{
		"slow":               {mbit, 0, 16384},
		"wanted":             {10 * mbit, 100_000, 100_000},
		"less than needed":   {10 * gbit, 100_000, 1_250_000},
		"longer than HTB's":  {mbit, 1 << 40, 7_500_000},
		"more than 32 bits":  {400 * gbit, 1 << 40, 1 << 31},
		"floor, and nothing": {0, 0, 16384},
	} {
		if got := burst(c.rate, c.wanted); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Guarantees that are more than the link has are all cut alike, and never into what the node needs.
func TestGuaranteesExceedLink(t *testing.T) {
	for name, c := range map[string]struct {
		speed      uint64
		guaranteed []uint64
		want       []uint64
		scaled     bool
	}{
		"fits":          {100 * mbit, []uint64{60 * mbit, 37 * mbit}, []uint64{60 * mbit, 37 * mbit}, false},
		"whole link":    {100 * mbit, []uint64{50 * mbit, 50 * mbit}, []uint64{48_500_000, 48_500_000}, true},
		"twice as much": {100 * mbit, []uint64{97 * mbit, 97 * mbit}, []uint64{48_500_000, 48_500_000}, true},
		"speed unknown": {0, []uint64{gbit}, []uint64{gbit}, false},
		"very slow":     {100 * kbit, []uint64{100 * kbit}, []uint64{64 * kbit}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var members []member
			for i, g := range c.guaranteed {
				members = append(members, pod(byte(i), g, 0))
			}
			got := newTree(c.speed, wholeGSO, members)
			var rates []uint64
			for _, leaf := range got.leaves[3:] {
				rates = append(rates, leaf.rate)
			}
			if diff := cmp.Diff(c.want, rates); diff != "" || got.scaled != c.scaled {
				t.Errorf("scaled %v, want %v; rates (-want +got)\n%s", got.scaled, c.scaled, diff)
			}
		})
	}
}

func TestAssign(t *testing.T) {
	a, b, c := mac{1}, mac{2}, mac{3}
	for name, test := range map[string]struct {
		macs  []mac
		taken map[mac]uint16
		want  map[mac]uint16
	}{
		"new":         {[]mac{a, b}, nil, map[mac]uint16{a: 0x10, b: 0x11}},
		"kept":        {[]mac{a, b}, map[mac]uint16{b: 0x10}, map[mac]uint16{a: 0x11, b: 0x10}},
		"gap":         {[]mac{a, b, c}, map[mac]uint16{a: 0x10, c: 0x12}, map[mac]uint16{a: 0x10, b: 0x11, c: 0x12}},
		"one for two": {[]mac{a, b}, map[mac]uint16{a: 0x20, b: 0x20}, map[mac]uint16{a: 0x20, b: 0x10}},
		"the node's":  {[]mac{a}, map[mac]uint16{a: minorNode}, map[mac]uint16{a: 0x10}},
	} {
		if diff := cmp.Diff(test.want, assign(test.macs, test.taken)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
