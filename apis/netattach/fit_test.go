package netattach

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestFit(t *testing.T) {
	network := macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24"}))
	for name, c := range map[string]struct {
		network *v1alpha1.NetworkSpec
		value   string
		want    string
	}{
		"comma list":                {network, "a@data0", ""},
		"names alone":               {network, `[{"name": "a", "interface": "data0", "namespace": "other", "cni-args": null}]`, ""},
		"address and MAC":           {network, `[{"name": "a", "ips": ["10.0.0.9/24"], "mac": "02:00:00:00:00:01"}]`, ""},
		"address elsewhere":         {network, `[{"name": "a", "ips": ["10.0.1.9"]}]`, "1:23 ips: 10.0.1.9 is in no range of the network"},
		"address of another length": {network, `[{"name": "a", "ips": ["10.0.0.9/16"]}]`, "1:23 ips: 10.0.0.9 is in no range of the network"},
		"address without IPAM":      {macvlan("eth1", nil), `[{"name": "a", "ips": ["10.0.0.9"]}]`, "1:23 ips: 10.0.0.9 is in no range of the network"},
		"MAC of InfiniBand":         {network, `[{"name": "a", "mac": "80:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22"}]`, "1:23 mac: a Network has Ethernet addresses"},
		"MAC of a group":            {network, `[{"name": "a", "mac": "03:00:00:00:00:01"}]`, "1:23 mac: is an address of many machines, where that of one is needed"},
		"MAC of nobody":             {network, `[{"name": "a", "mac": "00:00:00:00:00:00"}]`, "1:23 mac: is all zero"},
		"two addresses of a family": {network, `[{"name": "a", "ips": ["10.0.0.9", "10.0.0.8"]}]`,
			"1:23 ips: 10.0.0.8 is the second IPv4 address: a Network gives one of each family"},
		"interface name of the kernel's":  {network, "a@ünet", `1:1 interface: "ünet" cannot be had with Multinet: letters, digits, '.', '_' and '-'`},
		"default route":                   {network, `[{"name": "a", "default-route": ["10.0.0.1"]}]`, ""},
		"default route, no gateway named": {network, `[{"name": "a", "default-route": []}]`, "1:33 default-route: names no gateway, and range 10.0.0.0/24 of the network has none: name the gateways"},
		"default route of the range":      {routed(), `[{"name": "a", "default-route": []}]`, ""},
		"default route, both families":    {routed(), `[{"name": "a", "default-route": ["fe80::1", "10.0.0.7"]}]`, ""},
		"default route, two of a family": {network, `[{"name": "a", "default-route": ["10.0.0.1", "10.0.0.2"]}]`,
			"1:33 default-route: 10.0.0.2 is the second IPv4 gateway: a pod has one default route of each family"},
		"default route elsewhere": {network, `[{"name": "a", "default-route": ["10.0.1.1"]}]`,
			"1:33 default-route: 10.0.1.1 is no neighbour of an address in 10.0.0.0/24: a gateway is in the subnet of the pod's address"},
		"default route of another family": {network, `[{"name": "a", "default-route": ["fe80::1"]}]`,
			"1:33 default-route: fe80::1: the network gives no IPv6 address, without which the interface cannot route to it"},
		"default route without IPAM": {macvlan("eth1", nil), `[{"name": "a", "default-route": ["10.0.0.1"]}]`, "1:33 default-route: the network gives no addresses, without which an interface cannot route"},
		"default route by itself":    {network, `[{"name": "a", "ips": ["10.0.0.9"], "default-route": ["10.0.0.9"]}]`, "1:54 default-route: 10.0.0.9 is the address that the pod itself asks for"},
		"default route, the other range": {macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24"}, v1alpha1.IPRange{CIDR: "10.1.0.0/24"})), `[{"name": "a", "default-route": ["10.0.0.1"]}]`,
			"1:33 default-route: 10.0.0.1 is no neighbour of an address in 10.1.0.0/24: a gateway is in the subnet of the pod's address"},
		"default route of the range that is asked for": {macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24"}, v1alpha1.IPRange{CIDR: "10.1.0.0/24"})),
			`[{"name": "a", "ips": ["10.0.0.9"], "default-route": ["10.0.0.1"]}]`, ""},
		"default route of the network's own": {macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24"}), v1alpha1.Route{To: "0.0.0.0/0"}), `[{"name": "a", "default-route": ["10.0.0.1"]}]`,
			"1:33 default-route: the network itself has a route to 0.0.0.0/0"},
		"null asks for nothing": {network, `[{"name": "a", "default-route": null, "ips": null, "cni-args": null, "bandwidth": null}]`, ""},
		"all that cannot be had": {network, `[{"name": "a", "bandwidth": {}, "portMappings": [{"hostPort": 1, "containerPort": 1}], "infiniband-guid": "c2:11:22:33:44:55:66:77", "default-route": ["10.0.0.1"], "cni-args": {}, "ipam-claim-reference": "c", "org.example": 1}]`,
			"1:29 bandwidth: " + because["bandwidth"] + "; 1:49 portMappings: " + because["portMappings"] + "; 1:107 infiniband-guid: " + because["infiniband-guid"] +
				"; 1:177 cni-args: " + because["cni-args"] +
				"; 1:205 ipam-claim-reference: Multinet reads no IPAMClaims: an AddressClaim keeps addresses for a pod's name; note 1:225 org.example: has no effect: Multinet does not know this key"},
		"what a NIC of its own gives": {hostDevice(v1alpha1.UplinkSelector{MACs: []string{"aa:bb:cc:00:00:01"}}, ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24"})),
			`[{"name": "a", "ips": ["10.0.0.9"], "mac": "02:00:00:00:00:01", "default-route": ["10.0.0.1"]}]`, ""},
		"a part of a NIC of its own": {hostDevice(v1alpha1.UplinkSelector{}, nil), `[{"name": "a", "bandwidth": {"egressRate": 1}, "portMappings": [{"hostPort": 1, "containerPort": 1}]}]`,
			"1:29 bandwidth: " + ofWholeNIC + "; 1:64 portMappings: " + because["portMappings"]},

		"plugins, names alone": {plugins(`{}`), "a@data0", ""},
		"plugins that declare all": {plugins(`{"ips": true, "mac": true, "portMappings": true, "infinibandGUID": true, "bandwidth": true}`), `[{"name": "a", "ips": ["10.9.0.9", "10.9.0.8"],
			"mac": "80:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22", "portMappings": [{"hostPort": 1, "containerPort": 1}], "infiniband-guid": "c2:11:22:33:44:55:66:77",
			"bandwidth": {"egressRate": 1}, "cni-args": {"a": 1}}]`, ""},
		"plugins that declare nothing": {plugins(`{"ips": false, "dns": true}`), `[{"name": "a", "ips": ["10.9.0.9"], "infiniband-guid": "c2:11:22:33:44:55:66:77"}]`,
			`1:23 ips: no plugin of the network declares the capability "ips": write "capabilities": {"ips": true} to a plugin that has it; ` +
				`1:56 infiniband-guid: no plugin of the network declares the capability "infinibandGUID": write "capabilities": {"infinibandGUID": true} to a plugin that has it`},
		"plugins, too much": {plugins(`{"portMappings": true}`), `[{"name": "a", "portMappings": [` + strings.Repeat(`{"hostPort": 1, "containerPort": 1}, `, 64) +
			`{"hostPort": 1, "containerPort": 1}], "cni-args": {"a": "` + strings.Repeat("x", 4096) + `"}}]`,
			"1:32 portMappings: has 65 ports, and a pod can ask for 64; 1:2451 cni-args: has 4105 bytes, and a pod can ask for 4096"},
		"plugins, what they cannot be told": {plugins(`{}`), `[{"name": "a", "default-route": [], "ipam-claim-reference": "c"}]`,
			"1:33 default-route: CNI plugins make the routes of their interface: write the route into the configuration of the network; " +
				"1:61 ipam-claim-reference: Multinet reads no IPAMClaims: an AddressClaim keeps addresses for a pod's name"},
	} {
		t.Run(name, func(t *testing.T) {
			elements, err := npwg.Parse(c.value, "demo")
			if err != nil {
				t.Fatal(err)
			}
			reasons, notes := Fit(elements[0], c.network)
			if diff := cmp.Diff(c.want, strings.Join(append(lines("", reasons), lines("note ", notes)...), "; ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// routed has ranges of both families with gateways.
func routed() *v1alpha1.NetworkSpec {
	return macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1"}, v1alpha1.IPRange{CIDR: "fd00::/64", Gateway: "fd00::1"}))
}

// plugins is a chain whose second plugin declares capabilities.
func plugins(capabilities string) *v1alpha1.NetworkSpec {
	return &v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeCNI, CNI: &v1alpha1.CNISpec{
		Config: `{"name": "a", "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": ` + capabilities + `}]}`,
	}}
}

func lines(prefix string, problems []jsonpos.Problem) (all []string) {
	for _, p := range problems {
		all = append(all, fmt.Sprintf("%s%d:%d %s: %s", prefix, p.At.Line, p.At.Column, p.Path, p.Text))
	}
	return all
}

func TestCapabilities(t *testing.T) {
	for config, want := range map[string]map[string]bool{
		`{"type": "a", "capabilities": {"mac": true, "ips": false}}`:                                    {"mac": true, "ips": false},
		`{"plugins": [{"capabilities": {"mac": true}}, {"capabilities": {"mac": false, "ips": true}}]}`: {"mac": true, "ips": true},
		`{"capabilities": {"mac": true}, "plugins": [{"type": "a"}]}`:                                   {},
		`{"capabilities": ["mac"]}`: nil,
		`{`:                         nil,
	} {
		if diff := cmp.Diff(want, Capabilities(config)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", config, diff)
		}
	}
}

// What is given to plugins is what the element has, and nothing where it asks for nothing.
func TestArguments(t *testing.T) {
	for value, want := range map[string]*v1alpha1.CNIArguments{
		"a": nil,
		`[{"name": "a", "cni-args": null, "portMappings": [], "interface": "x"}]`:          nil,
		`[{"name": "a", "ips": ["10.9.0.9", "FD00:0::9/64"], "mac": "02-00-00-00-00-0A"}]`: {IPs: []string{"10.9.0.9", "fd00::9/64"}, MAC: "02:00:00:00:00:0a"},
		`[{"name": "a", "infiniband-guid": "C2:11:22:33:44:55:66:77", "bandwidth": {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4}}]`: {
			InfinibandGUID: "c2:11:22:33:44:55:66:77", Bandwidth: &v1alpha1.CNIBandwidth{IngressRate: 1, IngressBurst: 2, EgressRate: 3, EgressBurst: 4}},
		`[{"name": "a", "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "UDP", "hostIP": "10.0.0.1"}, {"hostPort": 1, "containerPort": 2}]}]`: {
			PortMappings: []v1alpha1.CNIPortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "udp", HostIP: "10.0.0.1"}, {HostPort: 1, ContainerPort: 2, Protocol: "tcp"}}},
		`[{"name": "a", "cni-args": {}}]`:                             {Args: "{}"},
		`[{"name": "a", "cni-args": {"b": {"c": "}"}}, "mac": null}]`: {Args: `{"b": {"c": "}"}}`},
	} {
		elements, err := npwg.Parse(value, "demo")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, Arguments(elements[0])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
	}
}
