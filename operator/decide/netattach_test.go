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
		`{"type": "host-device", "device": "eth1", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/31"}], "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.0"}]}}`,
		`{"type": "host-device", "hwaddr": "AA-BB-CC-00-00-01"}`,
		`{"type": "sriov", "vlan": 4094, "vlanQoS": 7, "min_tx_rate": 1, "max_tx_rate": 2147483647, "ipam": {"type": "whereabouts", "range": "fd00::/127"}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, config string) {
		definition := netattach.Definition{Namespace: "demo", Name: "a", Config: config}
		if strings.Contains(config, `"sriov"`) {
			definition.ResourceName = "multinet.dev/ens1f0"
		}
		translation := netattach.Translate(definition)
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

func TestDerivedNetwork(t *testing.T) {
	allowed := map[string]string{"multinet.dev/cni-plugins": "allowed"}
	for name, c := range map[string]struct {
		config  string
		labels  map[string]string
		verdict netattach.Verdict
		want    string
	}{
		"native":    {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "10.0.0.0/24"}}`, nil, netattach.Native, ""},
		"delegated": {`{"type": "macvlan", "mac": "02:00:00:00:00:01"}`, map[string]string{"multinet.dev/cni-plugins": "no"}, netattach.Delegated, "the CNI plugins macvlan have to do this, as root on nodes, for which the namespace needs the label multinet.dev/cni-plugins=allowed: spec.config line 1, column 1: master: is missing, which means the interface of the node's default route: an uplink has a name; spec.config line 1, column 28: mac: a Network gives each pod a MAC of its own"},
		"allowed":   {`{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}`, allowed, netattach.Delegated, ""},
		"a device":  {`{"type": "host-device"}`, allowed, netattach.Delegated, ""},
		"of ours":   {`{"type": "host-device"}`, allowed, netattach.Refused, `spec.config line 1, column 1: the device is the one that resource "multinet.dev/ens1f0" of the annotation k8s.v1.cni.cncf.io/resourceName stands for, not one that the definition names; spec.config line 1, column 1: resource "multinet.dev/ens1f0" is that of VFs which Multinet gives to pods itself, and no CNI plugin gets one, but this needs a CNI plugin: annotation k8s.v1.cni.cncf.io/resourceName may name the resource of a device plugin`},
		"a NIC":     {`{"type": "host-device", "device": "eth1", "ipam": {"type": "whereabouts", "range": "10.0.0.0/24"}}`, nil, netattach.Native, ""},
		"refused":   {"{", allowed, netattach.Refused, "spec.config line 1, column 2: spec.config is not JSON: unexpected end of JSON input"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &netattach.NetworkAttachmentDefinition{Spec: netattach.NetworkAttachmentDefinitionSpec{Config: c.config}}
			d.Namespace, d.Name = "demo", "a"
			resource := map[string]string{"a device": "intel.com/nic", "of ours": "multinet.dev/ens1f0"}[name]
			if resource != "" {
				d.Annotations = map[string]string{"k8s.v1.cni.cncf.io/resourceName": resource}
			}
			network, verdict, text := DerivedNetwork(d, c.labels)
			if verdict != c.verdict || text != c.want {
				t.Errorf("%s: %s\nwant %s: %s", verdict, text, c.verdict, c.want)
			}
			if (network != nil) != (c.want == "") {
				t.Fatalf("%s, but the Network is %v", verdict, network)
			}
			if network == nil {
				return
			}
			if network.Spec.CNI != nil && network.Spec.CNI.ResourceName != resource {
				t.Errorf("needs a device of %q, want %q", network.Spec.CNI.ResourceName, resource)
			}
			if network.Name != "nad-4-demo-a" || network.Annotations["multinet.dev/netattachdef"] != "demo/a" || CheckNetwork(network) != nil {
				t.Errorf("%+v", network)
			}
		})
	}
}
