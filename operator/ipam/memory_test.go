package ipam

import (
	"net/netip"
	"runtime"
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
			got, err := p.Allocate("y", start0)
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
		got, err := p.Allocate("x", start0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got[0].Addr)
	}
	if _, err := p.Allocate("x", start0); err == nil {
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
		if got, err := p.Allocate("y", start0); err != nil || got[0].Addr != all[i] {
			t.Fatalf("reused %v, %v, want %s", got, err, all[i])
		}
	}
}
