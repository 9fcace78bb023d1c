package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

var start0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const rested = time.Minute

func parse(t testing.TB, specs ...v1alpha1.IPRange) []Range {
	t.Helper()
	ranges, err := ParseRanges(&v1alpha1.IPAMSpec{Ranges: specs})
	if err != nil {
		t.Fatal(err)
	}
	return ranges
}

func cidrs(t testing.TB, all ...string) []Range {
	t.Helper()
	var specs []v1alpha1.IPRange
	for _, c := range all {
		specs = append(specs, v1alpha1.IPRange{CIDR: c})
	}
	return parse(t, specs...)
}

// take allocates and returns the addresses as text, or the error's.
func take(p *Pool, owner Owner, now time.Time) string {
	got, err := p.Allocate(Request{Owner: owner}, now)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, a := range got {
		all = append(all, a.Addr.String())
	}
	return strings.Join(all, " ")
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestAllocateInOrderOfRangesAndFamilies(t *testing.T) {
	p := New(cidrs(t, "fd00::/127", "10.0.0.0/31", "10.1.0.0/31", "fd01::/127"), rested)
	expect(t, take(p, "a", start0), "10.0.0.0 fd00::")
	expect(t, take(p, "b", start0), "10.0.0.1 fd00::1")
	expect(t, take(p, "c", start0), "10.1.0.0 fd01::")
	expect(t, take(p, "d", start0), "10.1.0.1 fd01::1")
	expect(t, take(p, "e", start0), "IPv4 10.0.0.0/31, 10.1.0.0/31: every address is in use")
	_, err := p.Allocate(Request{Owner: "e"}, start0)
	if !errors.Is(err, ErrExhausted) {
		t.Errorf("%v is not ErrExhausted", err)
	}
}

func TestOneFamilyExhaustedTakesNothing(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/24", "fd00::/128"), rested)
	expect(t, take(p, "a", start0), "10.0.0.1 fd00::")
	expect(t, take(p, "b", start0), "IPv6 fd00::/128: every address is in use")
	if got := p.Usage()[0].Allocated; got != "1" {
		t.Errorf("%s IPv4 addresses are taken", got)
	}
}

func TestReleasedIsReusedLastAndRests(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/30"), rested)
	expect(t, take(p, "a", start0), "10.0.0.1")
	p.Release(netip.MustParseAddr("10.0.0.1"), "a", start0)
	expect(t, take(p, "b", start0.Add(2*rested)), "10.0.0.2")
	p.Release(netip.MustParseAddr("10.0.0.2"), "b", start0.Add(2*rested))
	// .1 has rested, .2 has not: .1 first, then .2 since nothing else is left.
	expect(t, take(p, "c", start0.Add(2*rested)), "10.0.0.1")
	expect(t, take(p, "d", start0.Add(2*rested)), "10.0.0.2")
}

func TestQuarantinePrefersTheNextRange(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/32", "10.1.0.0/32"), rested)
	first := netip.MustParseAddr("10.0.0.0")
	expect(t, take(p, "a", start0), "10.0.0.0")
	p.Release(first, "a", start0)
	expect(t, take(p, "b", start0.Add(time.Second)), "10.1.0.0")
	expect(t, take(p, "c", start0.Add(time.Second)), "10.0.0.0")
}

func TestReleaseOnlyByTheOwner(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/30"), 0)
	expect(t, take(p, "a", start0), "10.0.0.1")
	a := netip.MustParseAddr("10.0.0.1")
	if p.Release(a, "b", start0) || p.Owner(a) != "a" {
		t.Error("a stranger released it")
	}
	if !p.Release(a, "a", start0) || p.Release(a, "a", start0) || p.Release(netip.MustParseAddr("192.0.2.1"), "a", start0) {
		t.Error("released not exactly once")
	}
}

func TestClaim(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/29"), rested)
	second := netip.MustParseAddr("10.0.0.2")
	for range 2 {
		if err := p.Claim(second, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Claim(second, "y"); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "x") {
		t.Errorf("conflict is %v", err)
	}
	expect(t, take(p, "a", start0), "10.0.0.1")
	expect(t, take(p, "b", start0), "10.0.0.3")
	// A resting address can be claimed: the record says that it is in use.
	p.Release(second, "x", start0)
	if err := p.Claim(second, "z"); err != nil {
		t.Error(err)
	}
	if !p.Transfer(second, "z", "w") || p.Transfer(second, "z", "w") || p.Owner(second) != "w" {
		t.Error("transfer")
	}
}

func TestCancelledComesBackWithoutRest(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/32"), rested)
	expect(t, take(p, "a", start0), "10.0.0.0")
	p.Cancel(netip.MustParseAddr("10.0.0.0"), "a")
	expect(t, take(p, "b", start0), "10.0.0.0")
}

func TestReconfigure(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/30"), rested)
	expect(t, take(p, "a", start0), "10.0.0.1")
	expect(t, take(p, "b", start0), "10.0.0.2")
	p.Reconfigure(cidrs(t, "10.1.0.0/30"), rested)
	expect(t, take(p, "c", start0), "10.1.0.1")
	want := map[netip.Addr]Owner{netip.MustParseAddr("10.0.0.1"): "a", netip.MustParseAddr("10.0.0.2"): "b"}
	if diff := cmp.Diff(want, p.Outside(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	p.Release(netip.MustParseAddr("10.0.0.1"), "a", start0)
	// The old range comes back: b still has .2, and .1 goes on resting.
	p.Reconfigure(cidrs(t, "10.0.0.0/29"), rested)
	expect(t, take(p, "d", start0), "10.0.0.3")
	if len(p.Outside()) != 1 {
		t.Errorf("outside: %v", p.Outside())
	}
	for _, want := range []string{"10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"} {
		expect(t, take(p, "e", start0), want)
	}
}

func TestRotateContinuesBehindTheHighest(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/29"), rested)
	for _, a := range []string{"10.0.0.2", "10.0.0.4"} {
		if err := p.Claim(netip.MustParseAddr(a), "x"); err != nil {
			t.Fatal(err)
		}
	}
	p.Rotate()
	for _, want := range []string{"10.0.0.5", "10.0.0.6", "10.0.0.1", "10.0.0.3"} {
		expect(t, take(p, "a", start0), want)
	}
	expect(t, take(p, "a", start0), "IPv4 10.0.0.0/29: every address is in use")
}

func TestUsage(t *testing.T) {
	p := New(cidrs(t, "10.0.0.0/32", "fd00::/64"), rested)
	expect(t, take(p, "a", start0), "10.0.0.0 fd00::1")
	p.Release(netip.MustParseAddr("fd00::1"), "a", start0)
	want := []Usage{
		{Prefix: netip.MustParsePrefix("10.0.0.0/32"), Total: "1", Allocated: "1", Free: "0", Full: true},
		{Prefix: netip.MustParsePrefix("fd00::/64"), Total: "18446744073709551615", Allocated: "0", Free: "18446744073709551615"},
	}
	if diff := cmp.Diff(want, p.Usage(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestQuietAndForgottenAddressesCostNothing(t *testing.T) {
	p := New(nil, rested)
	for i := range 100 {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		if err := p.Claim(a, "x"); err != nil {
			t.Fatal(err)
		}
		p.Release(a, "x", start0.Add(time.Duration(i)*rested))
	}
	if len(p.resting) > 2 {
		t.Errorf("%d addresses without a range are remembered", len(p.resting))
	}
	last := start0.Add(99 * rested)
	if p.Quiet(last) || !p.Quiet(last.Add(rested)) {
		t.Error("quiet before the quarantine is over, or not after")
	}
}

// A /8 with exclusions costs what is allocated, each allocation and release O(1).
func BenchmarkAllocateRelease(b *testing.B) {
	for _, held := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			p := New(parse(b, v1alpha1.IPRange{CIDR: "10.0.0.0/8", Exclude: []string{"10.0.1.0/24"}}, v1alpha1.IPRange{CIDR: "fd00::/64"}), rested)
			for range held {
				if _, err := p.Allocate(Request{Owner: "x"}, start0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				got, err := p.Allocate(Request{Owner: "y"}, start0)
				if err != nil {
					b.Fatal(err)
				}
				for _, a := range got {
					p.Release(a.Addr, "y", start0)
				}
			}
		})
	}
}

// With 10,000 racks, each allocation and release costs what it costs with one.
func BenchmarkAllocateReleaseInARack(b *testing.B) {
	for _, racks := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("racks=%d", racks), func(b *testing.B) {
			p := New(racksOf(b, cidrs(b, "10.0.0.0/8", "fd00::/32"), racks), rested)
			b.ReportAllocs()
			for b.Loop() {
				got, err := p.Allocate(Request{Owner: "y", Scope: "rack-0"}, start0)
				if err != nil {
					b.Fatal(err)
				}
				for _, a := range got {
					p.Release(a.Addr, "y", start0)
				}
			}
		})
	}
}
