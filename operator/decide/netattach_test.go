package decide

import (
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// FuzzTranslatedNetworks: what is said to be native is a Network that the operator accepts. A range whose addresses are
// all excluded is found here alone.
func FuzzTranslatedNetworks(f *testing.F) {
	for _, seed := range []string{
		`{"type": "macvlan", "master": "eth1", "mtu": 68}`,
		`{"type": "macvlan", "master": "eth1", "mtu": 1279, "ipam": {"type": "host-local", "ranges": [[{"subnet": "fd00::/64"}]]}}`,
		`{"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/30"}], [{"subnet": "fd00::/126"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd01::/16", "gw": "fe80::1"}]}}`,
		`{"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24", "rangeStart": "10.0.0.1", "rangeEnd": "10.0.0.1"}}`,
		`{"type": "macvlan", "master": "eth1", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/31", "gateway": "10.0.0.0"}, {"address": "fd00::1/127"}]}}`,
		`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "10.0.0.0-10.0.0.255/24", "exclude": ["10.0.0.0/25"], "gateway": "10.0.0.200"}}`,
		`{"type": "sriov", "vlan": 4094, "vlanQoS": 7, "min_tx_rate": 1, "max_tx_rate": 2147483647, "ipam": {"type": "whereabouts", "range": "fd00::/127"}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, config string) {
		translation := netattach.Translate(netattach.Definition{Namespace: "demo", Name: "a", Config: config, ResourceName: "multinet.dev/ens1f0"})
		if translation.Verdict != netattach.Native {
			return
		}
		network := &v1alpha1.Network{Spec: *translation.Network}
		network.Name = netattach.NetworkName("demo", "a")
		if err := CheckNetwork(network); err != nil && !strings.Contains(err.Error(), "no address is left to give out") {
			t.Errorf("%s: %v", config, err)
		}
	})
}
