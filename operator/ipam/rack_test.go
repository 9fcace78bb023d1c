package ipam

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestRackRange(t *testing.T) {
	type want struct {
		total    string
		has, not []string
		err      string
	}
	for name, c := range map[string]struct {
		parent v1alpha1.IPRange
		prefix string
		want   want
	}{
		"no network and no broadcast address": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/8"}, "10.1.0.0/24",
			want{total: "254", has: []string{"10.1.0.1", "10.1.0.254"}, not: []string{"10.1.0.0", "10.1.0.255", "10.2.0.1"}},
		},
		"no anycast address": {
			v1alpha1.IPRange{CIDR: "fd00::/48"}, "fd00:0:0:1::/64",
			want{total: "18446744073709551615", has: []string{"fd00:0:0:1::1"}, not: []string{"fd00:0:0:1::"}},
		},
		"exclusions of the parent": {
			v1alpha1.IPRange{CIDR: "10.0.0.0/16", Exclude: []string{"10.0.1.0/28", "10.0.1.128/30", "10.0.2.0/24"}}, "10.0.1.0/24",
			want{total: "235", has: []string{"10.0.1.16"}, not: []string{"10.0.1.15", "10.0.1.129"}},
		},
		"the whole parent":       {v1alpha1.IPRange{CIDR: "10.0.0.0/30"}, "10.0.0.0/30", want{total: "2"}},
		"wholly excluded":        {v1alpha1.IPRange{CIDR: "10.0.0.0/16", Exclude: []string{"10.0.0.0/20"}}, "10.0.1.0/24", want{err: "excludes all"}},
		"only reserved are left": {v1alpha1.IPRange{CIDR: "10.0.0.0/16", Exclude: []string{"10.0.1.1/32", "10.0.1.2/32"}}, "10.0.1.0/30", want{err: "excludes all"}},
		"before the start":       {v1alpha1.IPRange{CIDR: "10.0.0.0/16", Start: "10.0.9.0"}, "10.0.1.0/24", want{err: "excludes all"}},
		"around the start":       {v1alpha1.IPRange{CIDR: "10.0.0.0/16", Start: "10.0.1.250"}, "10.0.1.0/24", want{total: "5"}},
		"elsewhere":              {v1alpha1.IPRange{CIDR: "10.0.0.0/16"}, "10.1.0.0/24", want{err: "not inside"}},
		"larger":                 {v1alpha1.IPRange{CIDR: "10.0.0.0/16"}, "10.0.0.0/8", want{err: "not inside"}},
		"host bits":              {v1alpha1.IPRange{CIDR: "10.0.0.0/16"}, "10.0.0.1/24", want{err: "not inside"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := RackRange(parse(t, c.parent)[0], netip.MustParsePrefix(c.prefix), "r1")
			if c.want.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.want.err) || !strings.Contains(err.Error(), `rack "r1"`) {
					t.Fatalf("error %v does not name the rack and %q", err, c.want.err)
				}
				return
			}
			if err != nil || r.Scope != "r1" || r.Total().String() != c.want.total {
				t.Fatalf("%+v with %s, %v", r, r.Total(), err)
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

// firsts returns the first n that Carve yields.
func firsts(n int, parents []Range, family Family, bits int, taken ...netip.Prefix) []string {
	var all []string
	for p := range Carve(parents, family, bits, taken) {
		if len(all) == n {
			break
		}
		all = append(all, p.String())
	}
	return all
}

func TestCarve(t *testing.T) {
	parents := parse(t, v1alpha1.IPRange{CIDR: "fd00::/62"}, v1alpha1.IPRange{CIDR: "10.0.0.0/22", Exclude: []string{"10.0.1.0/24"}}, v1alpha1.IPRange{CIDR: "10.9.0.0/24"})
	for name, c := range map[string]struct {
		family Family
		bits   int
		taken  []string
		want   string
	}{
		"in order, over all parents":     {IPv4, 24, nil, "10.0.0.0/24 10.0.2.0/24 10.0.3.0/24 10.9.0.0/24"},
		"the other family":               {IPv6, 64, []string{"10.0.0.0/8"}, "fd00::/64 fd00:0:0:1::/64 fd00:0:0:2::/64 fd00:0:0:3::/64"},
		"not what is taken":              {IPv4, 24, []string{"10.0.2.0/24", "10.9.0.0/24"}, "10.0.0.0/24 10.0.3.0/24"},
		"not what a smaller one is in":   {IPv4, 24, []string{"10.0.3.128/25", "10.0.0.0/26"}, "10.0.2.0/24 10.9.0.0/24"},
		"not what is in a larger one":    {IPv4, 24, []string{"10.0.2.0/23"}, "10.0.0.0/24 10.9.0.0/24"},
		"not where an address is in use": {IPv4, 24, []string{"10.0.0.77/32", "10.9.0.255/32"}, "10.0.2.0/24 10.0.3.0/24"},
		"longer than any parent":         {IPv4, 16, nil, ""},
		"only where it fits":             {IPv4, 22, nil, "10.0.0.0/22"},
		"everything is taken":            {IPv6, 64, []string{"fd00::/16"}, ""},
		"in what is partly excluded":     {IPv4, 23, nil, "10.0.0.0/23 10.0.2.0/23"},
	} {
		t.Run(name, func(t *testing.T) {
			var taken []netip.Prefix
			for _, p := range c.taken {
				taken = append(taken, netip.MustParsePrefix(p))
			}
			expect(t, strings.Join(firsts(9, parents, c.family, c.bits, taken...), " "), c.want)
		})
	}
}

// The last address that exists has no next one.
func TestCarveToTheEndOfAFamily(t *testing.T) {
	parents := cidrs(t, "255.255.255.0/24", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120")
	expect(t, strings.Join(firsts(9, parents, IPv4, 25), " "), "255.255.255.0/25 255.255.255.128/25")
	expect(t, strings.Join(firsts(9, parents, IPv6, 121, netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")), " "), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/121")
}

// Whatever is taken and excluded, Carve yields what trying every prefix yields.
func TestCarveAgainstTryingAll(t *testing.T) {
	prefix := func(base string, from int) *rapid.Generator[netip.Prefix] {
		return rapid.Custom(func(t *rapid.T) netip.Prefix {
			bytes := netip.MustParseAddr(base).AsSlice()
			bytes[len(bytes)-1] = rapid.Byte().Draw(t, "host")
			a, _ := netip.AddrFromSlice(bytes)
			return netip.PrefixFrom(a, rapid.IntRange(from, a.BitLen()).Draw(t, "bits")).Masked()
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		base, length := "10.0.0.0", 24
		if rapid.Bool().Draw(t, "IPv6") {
			base, length = "fd00::", 120
		}
		cidr := netip.PrefixFrom(netip.MustParseAddr(base), length)
		spec := v1alpha1.IPRange{CIDR: cidr.String()}
		for _, p := range rapid.SliceOfN(prefix(base, length+1), 0, 6).Draw(t, "exclude") {
			spec.Exclude = append(spec.Exclude, p.String())
		}
		parents, err := ParseRanges(&v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{spec}})
		if err != nil {
			return
		}
		taken := rapid.SliceOfN(prefix(base, length), 0, 12).Draw(t, "taken")
		bits := length + rapid.IntRange(0, 8).Draw(t, "bits")
		var want []string
		for a := cidr.Addr(); cidr.Contains(a); a = prefixInterval(netip.PrefixFrom(a, bits)).to.Next() {
			p := netip.PrefixFrom(a, bits)
			_, err := RackRange(parents[0], p, "")
			if err == nil && !slices.ContainsFunc(taken, p.Overlaps) {
				want = append(want, p.String())
			}
		}
		if got := firsts(1<<9, parents, parents[0].Family(), bits, taken...); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
