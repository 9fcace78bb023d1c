package netstatus

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	podIP   = Interface{Name: "default", Interface: "eth0", IPs: addresses("10.244.1.7"), MAC: "5a:00:00:00:00:01", Default: true}
	storage = Interface{Name: "storage", Interface: "net1", IPs: addresses("10.20.0.5", "fd00:20::5"), MAC: "02:1f:00:00:00:05",
		MTU: 9000, Gateway: addresses("10.20.0.1")}
	vf = Interface{Name: "nfv/fast", Interface: "net2", DNS: DNS{Nameservers: []string{"10.9.0.2"}, Domain: "nfv", Search: []string{"a.nfv", "b.nfv"}, Options: []string{"ndots:2"}},
		DeviceInfo: &DeviceInfo{Type: "pci", Version: "1.1.0", PCI: &PCIDevice{Address: "0000:3b:02.1", VhostNet: "/dev/vhost-net",
			RDMADevice: "mlx5_4", PFAddress: "0000:3b:00.0", RepresentorDevice: "pf0vf1"}}}
)

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

var cases = map[string][]Interface{
	"none":         nil,
	"default-only": {podIP},
	"dual-stack":   {podIP, storage},
	"device":       {podIP, vf},
	// The reference client escapes as encoding/json does.
	"escapes": {{Name: `a<b>&"c"`, Interface: "net1"}},
}

func TestEncode(t *testing.T) {
	for name, interfaces := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Encode(interfaces)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			// To the byte: the file has no final line feed.
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-golden +got):\n%s", diff)
			}
		})
	}
}

// TestEncodeToTheByte is written by hand after multi-net-spec, so that regenerated golden files cannot drift.
func TestEncodeToTheByte(t *testing.T) {
	got, err := Encode([]Interface{podIP, {Name: "storage", Interface: "net1", IPs: addresses("fd00:20::5")}})
	want := "[{\n    \"name\": \"default\",\n    \"interface\": \"eth0\",\n    \"ips\": [\n        \"10.244.1.7\"\n    ],\n" +
		"    \"mac\": \"5a:00:00:00:00:01\",\n    \"default\": true,\n    \"dns\": {}\n},{\n    \"name\": \"storage\",\n" +
		"    \"interface\": \"net1\",\n    \"ips\": [\n        \"fd00:20::5\"\n    ],\n    \"dns\": {}\n}]"
	if err != nil || got != want {
		t.Errorf("got\n%s\n%v, want\n%s", got, err, want)
	}
}

func TestEncodeRefusesEmptyAddress(t *testing.T) {
	for name, bad := range map[string]Interface{"ip": {Interface: "net1", IPs: []netip.Addr{{}}}, "gateway": {Interface: "net1", Gateway: []netip.Addr{{}}}} {
		t.Run(name, func(t *testing.T) {
			if _, err := Encode([]Interface{bad}); err == nil || !strings.Contains(err.Error(), `interface "net1": an address is empty`) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestPodIPs(t *testing.T) {
	for name, c := range map[string]struct {
		ips  []PodIP
		want string
	}{
		"none": {nil, `[]`},
		"both families": {[]PodIP{{"storage", "net1", netip.MustParseAddr("10.20.0.5")}, {"storage", "net1", netip.MustParseAddr("fd00:20::5")}},
			`[{"networkName":"storage","interface":"net1","ip":"10.20.0.5"},{"networkName":"storage","interface":"net1","ip":"fd00:20::5"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := EncodePodIPs(c.ips)
			if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	if _, err := EncodePodIPs([]PodIP{{NetworkName: "storage"}}); err == nil {
		t.Error("an empty address is encoded")
	}
}

func FuzzDecode(f *testing.F) {
	for _, interfaces := range cases {
		text, err := Encode(interfaces)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(`[{"name":"a","ips":["fe80::1%eth0"],"ips":[""]}]`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		first, err := Decode(text)
		if err != nil {
			return
		}
		encoded, err := Encode(first)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		second, err := Decode(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		again, err := Encode(second)
		if err != nil || again != encoded {
			t.Errorf("encoded once\n%s\ntwice\n%s\n%v", encoded, again, err)
		}
	})
}

func FuzzDecodePodIPs(f *testing.F) {
	f.Add(`[{"networkName":"storage","interface":"net1","ip":"10.20.0.5"}]`)
	f.Add(`[{"ip":""}]`)
	f.Fuzz(func(t *testing.T, text string) {
		ips, err := DecodePodIPs(text)
		if err != nil {
			return
		}
		encoded, err := EncodePodIPs(ips)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		again, err := DecodePodIPs(encoded)
		if err != nil || len(again) != len(ips) {
			t.Errorf("%s: %d elements, %v; want %d", encoded, len(again), err, len(ips))
		}
	})
}
