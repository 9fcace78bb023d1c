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
		"interface name of the kernel's":      {network, "a@ünet", `1:1 interface: "ünet" cannot be had with Multinet: letters, digits, '.', '_' and '-'`},
		"default route, whatever the gateway": {network, `[{"name": "a", "default-route": []}]`, "1:33 default-route: Multinet leaves the pod's default route alone"},
		"null asks for nothing":               {network, `[{"name": "a", "default-route": null, "ips": null, "cni-args": null, "bandwidth": null}]`, ""},
		"all that cannot be had": {network, `[{"name": "a", "bandwidth": {}, "portMappings": [{"hostPort": 1, "containerPort": 1}], "infiniband-guid": "c2:11:22:33:44:55:66:77", "default-route": ["10.0.0.1"], "cni-args": {}, "ipam-claim-reference": "c", "org.example": 1}]`,
			"1:29 bandwidth: a limit belongs to a QoSClass; 1:49 portMappings: Multinet forwards no ports of the node; 1:107 infiniband-guid: Multinet sets no InfiniBand GUIDs; " +
				"1:151 default-route: Multinet leaves the pod's default route alone; 1:177 cni-args: arguments are for a CNI plugin; " +
				"1:205 ipam-claim-reference: Multinet reads no IPAMClaims: an AddressClaim keeps addresses for a pod's name; note 1:225 org.example: has no effect: Multinet does not know this key"},
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

func lines(prefix string, problems []jsonpos.Problem) (all []string) {
	for _, p := range problems {
		all = append(all, fmt.Sprintf("%s%d:%d %s: %s", prefix, p.At.Line, p.At.Column, p.Path, p.Text))
	}
	return all
}
