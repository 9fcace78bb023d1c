package v1alpha1_test

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestTranslatedNetworks: what is said to be native, or delegated, is a Network that the API server accepts.
func TestTranslatedNetworks(t *testing.T) {
	s := requireAPIServer(t)
	for name, config := range map[string]string{
		"macvlan":     `{"type": "macvlan", "master": "eth1.100", "mode": "private", "mtu": 9000}`,
		"host-local":  `{"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}, {"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]], "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.5"}, {"dst": "::/0"}]}}`,
		"static":      `{"type": "macvlan", "master": "eth1", "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/128"}]}}`,
		"whereabouts": `{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "10.1.0.5-10.1.0.99/24", "exclude": ["10.1.0.9/32", "10.1.0.17/30"], "gateway": "10.1.0.1"}}`,
		"sriov":       `{"type": "sriov", "vlan": 100, "vlanQoS": 3, "vlanProto": "802.1ad", "spoofchk": "off", "trust": "on", "link_state": "enable", "min_tx_rate": 100, "max_tx_rate": 200}`,
		"plain sriov": `{"type": "sriov", "vlanProto": "802.1q"}`,
		"delegated":   `{"type": "bridge", "mtu": 1400, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			resource := "multinet.dev/ens1f0"
			if name == "delegated" {
				resource = "intel.com/sriov_a.b"
			}
			translation := netattach.Translate(netattach.Definition{Namespace: "demo", Name: "a", Config: config, ResourceName: resource})
			if translation.Verdict == netattach.Refused || (translation.Verdict == netattach.Delegated) != (name == "delegated") {
				t.Fatalf("%s: %v", translation.Verdict, translation.Reasons)
			}
			network := &v1alpha1.Network{Spec: *translation.Network}
			network.Name = netattach.NetworkName("demo", "a")
			if err := s.admin.Create(t.Context(), network, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}
