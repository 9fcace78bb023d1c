package ipam

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestParseRange(t *testing.T) {
	type want struct {
		total    string
		has, not []string
		err      string
	}
	cases := map[string]struct {
		spec v1alpha1.IPRange
		want want
	}{
		"whole v4 subnet": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/24"},
			want{total: "254", has: []string{"10.0.0.1", "10.0.0.254"}, not: []string{"10.0.0.0", "10.0.0.255", "10.0.1.1", "fd00::1"}},
		},
		"point to point v4 has no network address": {v1alpha1.IPRange{CIDR: "10.0.0.0/31"}, want{total: "2", has: []string{"10.0.0.0", "10.0.0.1"}}},
		"one v4 address": {v1alpha1.IPRange{CIDR: "10.0.0.7/32"}, want{total: "1", has: []string{"10.0.0.7"}}},
		"v6 without the anycast address, with the last": {
			v1alpha1.IPRange{CIDR: "fd00::/64"},
			want{total: "18446744073709551615", has: []string{"fd00::1", "fd00::ffff:ffff:ffff:ffff"}, not: []string{"fd00::"}},
		},
		"point to point v6": {v1alpha1.IPRange{CIDR: "fd00::/127"}, want{total: "2", has: []string{"fd00::"}}},
		"start and end are inclusive": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/24", Start: "10.0.0.10", End: "10.0.0.12"},
			want{total: "3", has: []string{"10.0.0.10", "10.0.0.12"}, not: []string{"10.0.0.9", "10.0.0.13"}},
		},
		"gateway, and exclusions that overlap each other and it": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1", Exclude: []string{"10.0.0.0/28", "10.0.0.8/29", "10.0.0.128/25"}},
			want{total: "112", has: []string{"10.0.0.16", "10.0.0.127"}, not: []string{"10.0.0.1", "10.0.0.15", "10.0.0.128"}},
		},
		"exclusion outside of start and end costs nothing": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/24", Start: "10.0.0.100", End: "10.0.0.109", Exclude: []string{"10.0.0.0/26"}}, want{total: "10"},
		},
		"all of IPv6":                 {v1alpha1.IPRange{CIDR: "::/0"}, want{total: "340282366920938463463374607431768211455"}},
		"host bits":                   {v1alpha1.IPRange{CIDR: "10.0.0.1/24"}, want{err: "host bits"}},
		"no cidr":                     {v1alpha1.IPRange{CIDR: "10.0.0.0"}, want{err: "cidr"}},
		"v4 inside v6":                {v1alpha1.IPRange{CIDR: "::ffff:10.0.0.0/104"}, want{err: "cidr"}},
		"start behind end":            {v1alpha1.IPRange{CIDR: "10.0.0.0/24", Start: "10.0.0.9", End: "10.0.0.8"}, want{err: "start 10.0.0.9 is behind end 10.0.0.8"}},
		"start elsewhere":             {v1alpha1.IPRange{CIDR: "10.0.0.0/24", Start: "10.0.1.9"}, want{err: "not inside"}},
		"gateway of the other family": {v1alpha1.IPRange{CIDR: "10.0.0.0/24", Gateway: "fd00::1"}, want{err: "gateway fd00::1 is not inside"}},
		"exclusion larger":            {v1alpha1.IPRange{CIDR: "10.0.0.0/24", Exclude: []string{"10.0.0.0/16"}}, want{err: "exclude 10.0.0.0/16 is not inside"}},
		"nothing left":                {v1alpha1.IPRange{CIDR: "10.0.0.0/30", Exclude: []string{"10.0.0.0/31", "10.0.0.2/31"}}, want{err: "no address is left"}},
		"only the gateway":            {v1alpha1.IPRange{CIDR: "10.0.0.1/32", Gateway: "10.0.0.1"}, want{err: "no address is left"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRange(c.spec)
			if c.want.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.want.err) {
					t.Fatalf("error %v does not contain %q", err, c.want.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Total().String(); got != c.want.total {
				t.Errorf("total %s, want %s", got, c.want.total)
			}
			for _, a := range c.want.has {
				if !r.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is not in it", a)
				}
			}
			for _, a := range c.want.not {
				if r.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is in it", a)
				}
			}
		})
	}
}

func TestParseRangesNamesEveryProblem(t *testing.T) {
	_, err := ParseRanges(&v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{
		{CIDR: "10.0.0.0/16"}, {CIDR: "10.0.1.0/24"}, {CIDR: "fd00::/64", Start: "fd01::1"},
	}})
	for _, part := range []string{"10.0.1.0/24 overlaps range 10.0.0.0/16", "fd00::/64: start fd01::1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not contain %q", err, part)
		}
	}
}

// FuzzParseRange: whatever is accepted gives out addresses that it contains, and not more than it counts.
func FuzzParseRange(f *testing.F) {
	f.Add("10.0.0.0/30", "", "", "10.0.0.1", "10.0.0.2/32")
	f.Add("fd00::/126", "fd00::1", "fd00::3", "", "fd00::2/127")
	f.Add("0.0.0.0/0", "255.255.255.254", "255.255.255.255", "", "")
	f.Add("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", "", "", "", "")
	f.Fuzz(func(t *testing.T, cidr, start, end, gateway, exclude string) {
		spec := v1alpha1.IPRange{CIDR: cidr, Start: start, End: end, Gateway: gateway}
		if exclude != "" {
			spec.Exclude = []string{exclude}
		}
		r, err := ParseRange(spec)
		if err != nil {
			return
		}
		p := New([]Range{r}, 0)
		seen := map[netip.Addr]bool{}
		for i := 0; i < 64; i++ {
			got, err := p.Allocate(Request{Owner: "o"}, start0)
			if err != nil {
				if r.Total().Int64() != int64(len(seen)) {
					t.Fatalf("gave out %d of %s", len(seen), r.Total())
				}
				return
			}
			a := got[0].Addr
			if seen[a] || !r.Contains(a) || a == r.Gateway || !r.Prefix.Contains(a) {
				t.Fatalf("gave out %s of %+v", a, spec)
			}
			seen[a] = true
		}
	})
}

func TestClaimable(t *testing.T) {
	r := parse(t, v1alpha1.IPRange{CIDR: "10.0.0.0/24", Start: "10.0.0.100", End: "10.0.0.199", Gateway: "10.0.0.1", Exclude: []string{"10.0.0.128/25"}})[0]
	for addr, want := range map[string]bool{
		"10.0.0.100": true, "10.0.0.2": true, "10.0.0.254": true, "10.0.0.150": true,
		"10.0.0.0": false, "10.0.0.255": false, "10.0.0.1": false, "10.0.1.5": false, "fd00::1": false, "::ffff:10.0.0.5": false,
	} {
		if got := r.Claimable(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
