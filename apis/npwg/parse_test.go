package npwg

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// places are compared where a test is about them.
var noPlaces = cmp.Options{cmpopts.IgnoreFields(Element{}, "At", "Keys"), cmpopts.EquateComparable(netip.Addr{})}

func TestParseCommaList(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  []Element
	}{
		"nothing": {"", nil},
		"blank":   {" \n", nil},
		"one":     {"a", []Element{{Namespace: "pod", Name: "a", Interface: "net1"}}},
		"all parts": {"other-ns/net-c@data0",
			[]Element{{Namespace: "other-ns", Name: "net-c", Interface: "data0"}}},
		"the same network twice": {"a,a",
			[]Element{{Namespace: "pod", Name: "a", Interface: "net1"}, {Namespace: "pod", Name: "a", Interface: "net2"}}},
		"white space around parts": {" a ,\n b / c @ d ",
			[]Element{{Namespace: "pod", Name: "a", Interface: "net1"}, {Namespace: "b", Name: "c", Interface: "d"}}},
		"default names by position": {"a@x,b",
			[]Element{{Namespace: "pod", Name: "a", Interface: "x"}, {Namespace: "pod", Name: "b", Interface: "net2"}}},
		"interface names as the kernel has them": {"a@eth1.100,b@Ünet",
			[]Element{{Namespace: "pod", Name: "a", Interface: "eth1.100"}, {Namespace: "pod", Name: "b", Interface: "Ünet"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value, "pod")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, noPlaces); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// everyKey has all keys but ipam-claim-reference, which excludes ips.
const everyKey = `[
  {
    "name": "a", "namespace": "b", "interface": "data0",
    "ips": ["10.1.2.3", "fd00::1/64"],
    "mac": "02:23:45:67:89:01",
    "infiniband-guid": "c2:11:22:33:44:55:66:77",
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"}, {"hostPort": 53, "containerPort": 53, "protocol": "udp"}],
    "bandwidth": {"ingressRate": 1000, "ingressBurst": 2000, "egressRate": 3000, "egressBurst": 4000},
    "cni-args": {"x": 1},
    "default-route": ["10.1.2.1"],
    "org.example.key": [1]
  },
  {"name": "a", "ipam-claim-reference": "claim", "cni-args": null}
]`

func TestParseJSON(t *testing.T) {
	got, err := Parse(everyKey, "pod")
	if err != nil {
		t.Fatal(err)
	}
	want := []Element{{
		Namespace: "b", Name: "a", Interface: "data0",
		IPs:            []IP{{netip.MustParseAddr("10.1.2.3"), -1}, {netip.MustParseAddr("fd00::1"), 64}},
		MAC:            net.HardwareAddr{2, 0x23, 0x45, 0x67, 0x89, 1},
		InfinibandGUID: net.HardwareAddr{0xc2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77},
		PortMappings:   []PortMapping{{8080, 80, "tcp", netip.MustParseAddr("10.0.0.1")}, {53, 53, "udp", netip.Addr{}}},
		Bandwidth:      &Bandwidth{1000, 2000, 3000, 4000},
		DefaultRoute:   []netip.Addr{netip.MustParseAddr("10.1.2.1")},
		CNIArgs:        json.RawMessage(`{"x": 1}`),
	}, {Namespace: "pod", Name: "a", Interface: "net2", IPAMClaim: "claim"}}
	if diff := cmp.Diff(want, got, noPlaces); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := got[0].Keys["bandwidth"]; at.Line != 8 || at.Column != 18 {
		t.Errorf("bandwidth is said to be at %s", at)
	}
	if at := got[1].At; at.Line != 13 || at.Column != 3 {
		t.Errorf("element 2 is said to be at %s", at)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		// The comma list.
		"empty element":            {"a,,b", `line 1, column 3: element 2: "": the name is missing`},
		"empty element at the end": {"a, ", `line 1, column 4: element 2: "": the name is missing`},
		"empty namespace":          {"/a", `line 1, column 1: element 1: "/a": the namespace before / is missing`},
		"two slashes":              {"a/b/c", `"b/c" is not the name of a NetworkAttachmentDefinition: lower case letters, digits and '-', with a letter or digit at both ends`},
		"upper case":               {"a,\n  Net-b", `line 2, column 3: element 2: "Net-b": "Net-b" is not the name of a NetworkAttachmentDefinition`},
		"hyphen at the end":        {"a-", `"a-" is not the name`},
		"bad namespace":            {"A/b", `"A" is not the name of a namespace`},
		"long namespace":           {strings.Repeat("n", 64) + "/b", "is not the name of a namespace"},
		"interface of 16":          {"a@abcdefghijklmnop", `element 1: "a@abcdefghijklmnop": interface name "abcdefghijklmnop" is longer than 15 bytes`},
		"no interface":             {"a@", "the interface name is empty"},
		"interface with colon":     {"a@eth1:0", `"eth1:0" is not an interface name`},
		"interface with slash":     {"a@b/c", `"a@b" is not the name of a namespace`},
		"interface of the default network": {"a@eth0",
			`interface name "eth0" is taken in every pod`},
		"interface twice":           {"a@x, b@x", `line 1, column 6: element 2: interface name "x" is already used by element 1`},
		"default name given before": {"a@net2,b", `element 2: interface name "net2" is already used by element 1`},
		// The JSON list.
		"no JSON":           {"[{\"name\": \"a\",}]", `line 1, column 15: it holds one of [ { " and so must be a JSON list: invalid character '}' looking for beginning of object key string`},
		"quoted comma list": {`"a,b"`, "line 1, column 1: it is a string, where a JSON list is needed"},
		"one object":        {`{"name": "a"}`, "it is an object, where a JSON list is needed"},
		"list of strings":   {`["a"]`, "line 1, column 2: element 1: is a string, where an object is needed"},
		"key twice":         {`[{"name": "a", "name": "b"}]`, `column 16: it holds one of [ { " and so must be a JSON list: key "name" stands twice`},
		"no name":           {`[{"name": "a"}, {"mac": "02:00:00:00:00:01"}]`, `line 1, column 17: element 2: key "name": the name is missing`},
		"name of another kind": {`[{"name": 7}]`,
			`line 1, column 11: element 1: key "name": is a number, where a string is needed`},
		"unknown key": {`[{"name": "a", "ip": "10.0.0.1"}]`, `line 1, column 22: element 1: key "ip": the specification knows no such key`},
		"key in another case": {`[{"name": "a", "Mac": "02:00:00:00:00:01"}]`,
			`key "Mac": the specification knows no such key`},
		"no address":      {`[{"name": "a", "ips": []}]`, `key "ips": is empty, where at least one address is needed`},
		"address as text": {`[{"name": "a", "ips": "10.0.0.1"}]`, `key "ips": is a string, where a list is needed`},
		"bad address":     {"[{\"name\": \"a\",\n  \"ips\": [\"10.0.0.1\", \"10.0.0\"]}]", `line 2, column 23: element 1: key "ips[1]": "10.0.0" is not an IP address`},
		"bad prefix":      {`[{"name": "a", "ips": ["10.0.0.1/33"]}]`, `"10.0.0.1/33" is not an IP address`},
		"short MAC":       {`[{"name": "a", "mac": "02:00:00:00:00"}]`, `key "mac": "02:00:00:00:00" is not a hardware address of 6 or 20 bytes`},
		"MAC of 8 bytes":  {`[{"name": "a", "mac": "02:00:00:00:00:00:00:01"}]`, `is not a hardware address of 6 or 20 bytes`},
		"empty MAC":       {`[{"name": "a", "mac": ""}]`, `"" is not a hardware address`},
		"GUID of 6 bytes": {`[{"name": "a", "infiniband-guid": "02:00:00:00:00:01"}]`, `key "infiniband-guid": "02:00:00:00:00:01" is not a hardware address of 8 bytes`},
		"port 0":          {`[{"name": "a", "portMappings": [{"hostPort": 0, "containerPort": 80}]}]`, `key "portMappings[0].hostPort": a port from 1 to 65535 is needed`},
		"port missing":    {`[{"name": "a", "portMappings": [{"hostPort": 80}]}]`, `key "portMappings[0].containerPort": a port from 1 to 65535 is needed`},
		"port of 17 bits": {`[{"name": "a", "portMappings": [{"hostPort": 65536, "containerPort": 80}]}]`,
			`key "portMappings[0].hostPort": is 65536, where a whole number from 0 to 65535 is needed`},
		"protocol":           {`[{"name": "a", "portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]}]`, `"icmp" is not tcp, udp or sctp`},
		"bandwidth negative": {`[{"name": "a", "bandwidth": {"egressRate": -1}}]`, `key "bandwidth.egressRate": is -1, where a whole number`},
		"bandwidth unknown":  {`[{"name": "a", "bandwidth": {"egress": 1}}]`, `key "bandwidth.egress": the specification knows no such key`},
		"arguments":          {`[{"name": "a", "cni-args": "x"}]`, `key "cni-args": is a string, where an object is needed`},
		"two default routes, empty": {`[{"name": "a", "default-route": []}, {"name": "b", "default-route": []}]`,
			`element 2: key "default-route": element 1 has the default route already`},
		"gateway": {`[{"name": "a", "default-route": ["x"]}]`, `key "default-route[0]": "x" is not an IP address`},
		"two default routes": {`[{"name": "a", "default-route": ["10.0.0.1"]}, {"name": "b", "default-route": ["10.0.1.1"]}]`,
			`element 2: key "default-route": element 1 has the default route already`},
		"addresses from two sources": {`[{"name": "a", "ips": ["10.0.0.1"], "ipam-claim-reference": "c"}]`,
			`key "ipam-claim-reference": cannot be had together with ips`},
		"interface twice, JSON": {`[{"name": "a", "interface": "x"}, {"name": "b", "interface": "x"}]`,
			`line 1, column 62: element 2: key "interface": interface name "x" is already used by element 1`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value, "pod")
			if err == nil || got != nil {
				t.Fatalf("accepted: %v, %v", got, err)
			}
			if want := "annotation k8s.v1.cni.cncf.io/networks: line "; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// TestAllErrorsAreTold: a user corrects an annotation once.
func TestAllErrorsAreTold(t *testing.T) {
	_, err := Parse("[{\"name\": \"A\", \"mac\": \"x\"},\n{\"name\": \"b\", \"bandwidth\": {\"egressRate\": -1, \"ingressRate\": 1.5}}]", "pod")
	prefix := "annotation k8s.v1.cni.cncf.io/networks: "
	want := strings.Join([]string{
		`line 1, column 11: element 1: key "name": "A" is not the name of a NetworkAttachmentDefinition: lower case letters, digits and '-', with a letter or digit at both ends`,
		`line 1, column 23: element 1: key "mac": "x" is not a hardware address of 6 or 20 bytes`,
		`line 2, column 43: element 2: key "bandwidth.egressRate": is -1, where a whole number from 0 to 9223372036854775807 is needed`,
		`line 2, column 62: element 2: key "bandwidth.ingressRate": is 1.5, where a whole number from 0 to 9223372036854775807 is needed`,
	}, "\n"+prefix)
	if diff := cmp.Diff(prefix+want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var e *Error
	if !errors.As(err, &e) || e.Element != 1 || e.Key != "name" || e.At != (jsonpos.Position{Offset: 10, Line: 1, Column: 11}) {
		t.Errorf("first error is %+v", e)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a,b/c@d", "a@net2,b", everyKey, `[{}]`, `[null]`, `"`, `[{"name":"a","portMappings":[null,{"hostPort":1e3}],"ips":[7]}]`, "\xff{", " a\u00a0,/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		elements, err := Parse(value, "pod")
		if err != nil {
			checkError(t, value, err)
			return
		}
		names := map[string]bool{}
		var again []string
		for _, e := range elements {
			if e.Name == "" || e.Namespace == "" || len(e.Interface) == 0 || len(e.Interface) > 15 || names[e.Interface] {
				t.Fatalf("%q: %+v", value, e)
			}
			names[e.Interface] = true
			again = append(again, fmt.Sprintf(`{"namespace":%q,"name":%q}`, e.Namespace, e.Name))
		}
		// What both forms can say they say alike.
		same, err := Parse("["+strings.Join(again, ",")+"]", "another")
		if err != nil || len(same) != len(elements) {
			t.Fatalf("%q: as JSON %v, %v", value, same, err)
		}
		for i := range same {
			if same[i].Name != elements[i].Name || same[i].Namespace != elements[i].Namespace {
				t.Fatalf("%q: %+v, as JSON %+v", value, elements[i], same[i])
			}
		}
	})
}

func checkError(t *testing.T, value string, err error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%q: error is a %T", value, err)
	}
	for _, one := range joined.Unwrap() {
		var e *Error
		if !errors.As(one, &e) || e.Problem == "" || e.At.Offset > len(value) || jsonpos.PositionOf(value, e.At.Offset) != e.At {
			t.Fatalf("%q: error %#v names no place", value, one)
		}
	}
}
