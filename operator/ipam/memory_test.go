package ipam

import (
	"fmt"
	"iter"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// held is what a run keeps in memory, in bytes.
func held[T any](make func() T) (T, uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	made := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc < before.HeapAlloc {
		return made, 0
	}
	return made, after.HeapAlloc - before.HeapAlloc
}

// A range costs memory by what is given out, not by what exists.
func TestMemoryIsOfWhatIsAllocated(t *testing.T) {
	const addresses, perAddress = 10_000, 1024
	for _, cidr := range []string{"10.0.0.0/8", "fd00::/64", "fd00::/32"} {
		ranges := parse(t, v1alpha1.IPRange{CIDR: cidr})
		p, empty := held(func() *Pool { return New(ranges, rested) })
		if empty > 16<<10 {
			t.Errorf("%s: %d bytes with nothing allocated", cidr, empty)
		}
		_, full := held(func() *Pool {
			for range addresses {
				take(p, "x", start0)
			}
			return p
		})
		if full > addresses*perAddress {
			t.Errorf("%s: %d bytes for each address", cidr, full/addresses)
		}
		runtime.KeepAlive(p)
	}
}

// The work of one allocation and one release is the same with a hundred thousand addresses in use as with a thousand, counted in
// memory allocations and in addresses that are looked at.
func TestWorkOfOneAddressIsConstant(t *testing.T) {
	for _, n := range []int{1_000, 100_000} {
		p := New(parse(t, v1alpha1.IPRange{CIDR: "10.0.0.0/8", Exclude: []string{"10.0.1.0/24"}}), rested)
		looks := 0
		known := func(a netip.Addr) bool { looks++; return p.known(a) }
		for range n {
			if _, ok := p.segments[0].next(known); !ok {
				t.Fatal("full")
			}
			take(p, "x", start0)
		}
		// Each address is looked at when it is found, and once more when it is passed.
		if looks > 2*n {
			t.Errorf("%d addresses in use: %d looks", n, looks)
		}
		allocations := testing.AllocsPerRun(1000, func() {
			got, err := p.Allocate(Request{Owner: "y"}, start0)
			if err != nil {
				t.Fatal(err)
			}
			p.Release(got[0].Addr, "y", start0)
		})
		if allocations > 8 {
			t.Errorf("%d addresses in use: %.0f memory allocations for one more", n, allocations)
		}
	}
}

// A million come and go: nothing that was given back is looked for, the queue of what rests is used from its front.
func TestAMillionComeAndGo(t *testing.T) {
	const n = 1_000_000
	p := New(parse(t, v1alpha1.IPRange{CIDR: "10.0.0.0/12", End: "10.15.66.64"}), 0)
	all := make([]netip.Addr, 0, n)
	for range n {
		got, err := p.Allocate(Request{Owner: "x"}, start0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got[0].Addr)
	}
	if _, err := p.Allocate(Request{Owner: "x"}, start0); err == nil {
		t.Fatal("the range has more than a million")
	}
	for _, a := range all {
		p.Release(a, "x", start0)
	}
	s := p.segments[0]
	if len(p.used) != 0 || s.resting.Len() != n || len(s.unused) != 0 {
		t.Fatalf("%d in use, %d rest, %d intervals unused", len(p.used), s.resting.Len(), len(s.unused))
	}
	for i := range n {
		if got, err := p.Allocate(Request{Owner: "y"}, start0); err != nil || got[0].Addr != all[i] {
			t.Fatalf("reused %v, %v, want %s", got, err, all[i])
		}
	}
}

// Ten thousand racks: an allocation and a release in one of them cost what they cost in the only one, counted in memory
// allocations. Segments are found by rack and by binary search.
func TestWorkWithTenThousandRacks(t *testing.T) {
	parents := cidrs(t, "10.0.0.0/8", "fd00::/32")
	count := func(racks int) float64 {
		p := New(racksOf(t, parents, racks), rested)
		request := Request{Owner: "y", Scope: "rack-0", Fixed: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}
		if len(p.sorted) != 2*racks || len(p.scopes["rack-0"]) != 2 {
			t.Errorf("%d racks: %d segments, %d of the rack", racks, len(p.sorted), len(p.scopes["rack-0"]))
		}
		return testing.AllocsPerRun(1000, func() {
			got, err := p.Allocate(request, start0)
			if err != nil {
				t.Fatal(err)
			}
			p.Release(got[1].Addr, "y", start0)
		})
	}
	if one, all := count(1), count(10_000); all > one {
		t.Errorf("%.0f memory allocations with ten thousand racks, %.0f with one", all, one)
	}
}

// racksOf carves one prefix of each family for each rack.
func racksOf(t testing.TB, parents []Range, racks int) []Range {
	t.Helper()
	var ranges []Range
	for i, family := range []Family{IPv4, IPv6} {
		next, stop := iter.Pull(Carve(parents, family, []int{26, 64}[i], nil))
		defer stop()
		for n := range racks {
			prefix, ok := next()
			r, err := RackRange(parents[i], prefix, fmt.Sprintf("rack-%d", n))
			if !ok || err != nil {
				t.Fatal(prefix, ok, err)
			}
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// A rack that comes or goes leaves the addresses of the others alone.
func TestRacksComeAndGo(t *testing.T) {
	p := New(racksOf(t, cidrs(t, "10.0.0.0/8", "fd00::/32"), 100), rested)
	for range 40 {
		if _, err := p.Allocate(Request{Owner: "x", Scope: "rack-7"}, start0); err != nil {
			t.Fatal(err)
		}
	}
	kept := p.scopes["rack-7"][0]
	p.Reconfigure(slices.DeleteFunc(racksOf(t, cidrs(t, "10.0.0.0/8", "fd00::/32"), 50), func(r Range) bool { return r.Scope == "rack-8" }), rested)
	if p.scopes["rack-7"][0] != kept || len(p.Outside()) != 0 || p.scopes["rack-8"] != nil {
		t.Errorf("the segment was made anew, or %d addresses are in no range", len(p.Outside()))
	}
}

// A /8 has 262,144 prefixes of 26 bits, a /48 has 65,536 of 64: the first free one is found by what is taken.
func TestCarveCostsWhatIsTaken(t *testing.T) {
	parents := parse(t, v1alpha1.IPRange{CIDR: "10.0.0.0/8", Exclude: []string{"10.0.0.0/9"}}, v1alpha1.IPRange{CIDR: "fd00::/48", Exclude: []string{"fd00:0:0:8000::/49"}})
	for _, c := range []struct {
		family Family
		bits   int
		want   string
	}{{IPv4, 26, "10.137.196.0/26"}, {IPv6, 64, "fd00:0:0:2710::/64"}} {
		var taken []netip.Prefix
		for p := range Carve(parents, c.family, c.bits, nil) {
			if taken = append(taken, p); len(taken) == 10_000 {
				break
			}
		}
		slices.Reverse(taken)
		allocations := testing.AllocsPerRun(3, func() {
			expect(t, strings.Join(firsts(1, parents, c.family, c.bits, taken...), " "), c.want)
		})
		if allocations > 20*10_000 {
			t.Errorf("%s: %.0f memory allocations", c.family, allocations)
		}
		allocations = testing.AllocsPerRun(3, func() { firsts(1, parents, c.family, c.bits) })
		if allocations > 100 {
			t.Errorf("%s with nothing taken: %.0f memory allocations", c.family, allocations)
		}
	}
}
