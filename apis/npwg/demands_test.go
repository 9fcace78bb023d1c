package npwg_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

var demands = []demand{
	{section: "3.1", text: "The API server knows the kind NetworkAttachmentDefinition.", elsewhere: [2]string{"operator/controllers/netattachdef_test.go", "TestNetworkOfADefinition"}},
	{section: "3.2", text: "spec.config may hold one CNI configuration.", check: native(conf)},
	{section: "3.2", text: "spec.config may hold a list of CNI configurations.", check: native(`{"cniVersion": "1.0.0", "name": "a", "plugins": [` + conf + `]}`)},
	{section: "3.2", text: "The CNI configuration may lack a name.", check: native(`{"type": "macvlan", "master": "eth1"}`)},
	{section: "3.2", text: "Without spec.config, a network of the object's name that the implementation knows is meant.",
		open: "there is no such network; refused with a reason"},
	{section: "3.3", text: "Names are DNS-1123 labels: lower case letters, digits and hyphens, alphanumeric at both ends.", check: checkNames},
	{section: "3.4.1", text: "Where spec.config is there, it is what counts.", check: native(conf)},
	{section: "3.4.1", text: "Otherwise a configuration list, then a configuration, of the object's name is looked for on the node's disk.",
		open: "Multinet does not read the nodes' CNI configuration; refused with a reason"},
	{section: "3.4.1", text: "Where nothing is found, the request fails.", check: checkNoConfig},
	{section: "3.4.2", text: "A missing name is filled in with that of the object before a plugin is called.", elsewhere: [2]string{"apis/netattach/plugins_test.go", "TestDelegatedConfiguration"}},
	{section: "3.4.3", text: "The name in the configuration should be that of the object, but need not be.", check: checkOtherName},
	{section: "4.1", text: "The annotation is k8s.v1.cni.cncf.io/networks.", check: func(t *testing.T) {
		if npwg.AnnotationNetworks != "k8s.v1.cni.cncf.io/networks" {
			t.Error(npwg.AnnotationNetworks)
		}
	}},
	{section: "4.1", text: "Both formats are supported.", elsewhere: [2]string{"apis/v1alpha1/netattachjson_test.go", "TestJSONBecomesNetworks"}},
	{section: "4.1.1", text: "A name alone is in the pod's namespace.", elsewhere: [2]string{"apis/v1alpha1/netattachdefs_test.go", "TestDefinitionsBecomeNetworks"}},
	{section: "4.1.1", text: "namespace/name is in another namespace.", elsewhere: [2]string{"apis/v1alpha1/netattachdefs_test.go", "TestDefinitionsBecomeNetworks"}},
	{section: "4.1.2.1", text: "Keys without a period are reserved.", check: malformed(`[{"name": "a", "key": 1}]`)},
	{section: "4.1.2.1", text: "Keys of others have a period, and do no harm.", check: selects(`[{"name": "a", "org.foo.bar.key-name": 1}]`, "pod/a")},
	{section: "4.1.2.1.1", text: "name is required.", check: malformed(`[{"namespace": "a"}]`)},
	{section: "4.1.2.1.1", text: "Where namespace is missing or empty, the pod's is meant.", check: selects(`[{"name": "a"}, {"name": "b", "namespace": ""}]`, "pod/a", "pod/b")},
	{section: "4.1.2.1.2", text: "namespace is optional.", check: selects(`[{"name": "a", "namespace": "b"}]`, "b/a")},
	{section: "4.1.2.1.3", text: "ips has at least one element.", check: malformed(`[{"name": "a", "ips": []}]`)},
	{section: "4.1.2.1.3", text: "Each element of ips is a valid IPv4 or IPv6 address.", check: checkIPs},
	{section: "4.1.2.1.3", text: "Where ips is invalid, so is the annotation as a whole.", check: malformed(`[{"name": "good"}, {"name": "a", "ips": ["10.2.2"]}]`)},
	{section: "4.1.2.1.3.2", text: "An attachment that does not get the requested addresses fails.", elsewhere: [2]string{"operator/controllers/asked_test.go", "TestAskedIsInUse"}},
	{section: "4.1.2.1.4", text: "mac has 6 bytes, or 20 for IP over InfiniBand.", check: checkMACs},
	{section: "4.1.2.1.4", text: "Where mac is invalid, so is the annotation as a whole.", check: malformed(`[{"name": "good"}, {"name": "a", "mac": "02:23"}]`)},
	{section: "4.1.2.1.4.2", text: "An attachment that does not get the requested MAC fails.", elsewhere: [2]string{"operator/controllers/asked_test.go", "TestAskedIsInUse"}},
	{section: "4.1.2.1.5", text: "interface is a name that the Linux kernel accepts.", check: checkInterfaces},
	{section: "4.1.2.1.5", text: "Where interface is invalid, so is the annotation as a whole.", check: malformed(`[{"name": "good"}, {"name": "a", "interface": "a/b"}]`)},
	{section: "4.1.2.1.5", text: "A name that an earlier attachment has fails the later one.", check: malformed(`[{"name": "a", "interface": "x"}, {"name": "b", "interface": "x"}]`)},
	{section: "4.1.2.1.5.1", text: "CNI_IFNAME is the requested name.", elsewhere: [2]string{"node-agent/delegate/delegate_test.go", "TestPluginsSpeak"}},
	{section: "4.2", text: "The same network may be selected more than once, and each time counts.", elsewhere: [2]string{"apis/v1alpha1/netattachdefs_test.go", "TestDefinitionsBecomeNetworks"}},
	{section: "4.2", text: "Each of them has its own element in the status.", check: checkStatusOfTwo},
	{section: "4.2.1", text: "Interface names that nobody chose are unique in the pod.", check: checkUniqueInterfaces},
	{section: "5", text: "The status is in the annotation k8s.v1.cni.cncf.io/network-status, a JSON list of maps.", check: checkStatus},
	{section: "5.1.1", text: "The status of an attachment is taken from the plugin's result.", elsewhere: [2]string{"node-agent/delegate/delegate_test.go", "TestBridgeAndHostLocal"}},
	{section: "5.2", text: "The cluster's default network has an element, with default true.", elsewhere: [2]string{"node-agent/publish/annotations_test.go", "TestNetworkStatusToTheByte"}},
	{section: "5.3", text: "No keys are written but those that are defined.", check: checkStatusKeys},
	{section: "5.3.1", text: "name is that of the NetworkAttachmentDefinition, with its namespace, or that of the default network.",
		elsewhere: [2]string{"node-agent/publish/annotations_test.go", "TestNetworkStatusToTheByte"}},
	{section: "5.3.2", text: "interface is the name in the pod.", elsewhere: [2]string{"node-agent/publish/annotations_test.go", "TestNetworkStatusToTheByte"}},
	{section: "5.3.3", text: "ips are the addresses that the attachment got.", elsewhere: [2]string{"node-agent/publish/annotations_test.go", "TestNetworkStatusToTheByte"}},
	{section: "5.3.4", text: "mac is there only together with interface.", check: badStatus(netstatus.Interface{Name: "a", MAC: "02:00:00:00:00:01"})},
	{section: "5.3.5", text: "Only one element has default true.",
		check: badStatus(netstatus.Interface{Name: "a", Default: true}, netstatus.Interface{Name: "b", Default: true})},
	{section: "5.3.5", text: "default is always there.", open: "written only where it is true, as the reference client does, to the byte"},
	{section: "5.3.6", text: "dns may have nameservers, domain and search.", check: checkDNS},
	{section: "6", text: "Every pod has the cluster's default network.", elsewhere: [2]string{"node-agent/attach/attach_test.go", "TestEth0Untouched"}},
	{section: "6.1", text: "The CNI configuration is not written before the default network is ready.", open: "does not apply: Multinet writes no CNI configuration"},
	{section: "6.2", text: "The default network is attached before all others.", open: "does not apply: the runtime attaches it before it calls Multinet"},
	{section: "7.1", text: "Configuration lists are handed to plugins as the CNI specification says.", elsewhere: [2]string{"node-agent/delegate/delegate_test.go", "TestChain"}},
	{section: "7.2", text: "An attachment that fails, fails the set-up of the pod.", elsewhere: [2]string{"node-agent/sandboxes/keeper_test.go", "TestHookFailures"}},
	{section: "7.2", text: "Attachments after a failed one are not attempted.", elsewhere: [2]string{"node-agent/attach/undo_test.go", "TestFirstFailureEndsTheAttach"}},
	{section: "7.2", text: "At the end all attachments are removed, also where one cannot be.", elsewhere: [2]string{"node-agent/sandboxes/plugins_test.go", "TestAllIsRemovedThoughOneCannotBe"}},
	{section: "7.3", text: "Nothing is done to one pod at the same time.", elsewhere: [2]string{"node-agent/sandboxes/hooks_test.go", "TestStopDuringOtherWork"}},
	{section: "7.4", text: "A pod that may not select a network fails.", elsewhere: [2]string{"operator/decide/pod_test.go", "TestPlan"}},
	{section: "1.3", text: "portMappings has ports and a protocol.", check: malformed(`[{"name": "a", "portMappings": [{"hostPort": 0, "containerPort": 80}]}]`)},
	{section: "1.3", text: "bandwidth has rates and bursts of both directions, in bits.", check: malformed(`[{"name": "a", "bandwidth": {"ingressRate": "1M"}}]`)},
	{section: "1.3", text: "infiniband-guid has 8 bytes.", check: malformed(`[{"name": "a", "infiniband-guid": "02:00:00:00:00:01"}]`)},
	{section: "1.3", text: "cni-args is a map.", check: malformed(`[{"name": "a", "cni-args": []}]`)},
	{section: "1.3", text: "default-route is a list of addresses.", check: malformed(`[{"name": "a", "default-route": ["here"]}]`)},
	{section: "1.3", text: "default-route may be empty.", check: selects(`[{"name": "a", "default-route": []}]`, "pod/a")},
	{section: "1.3", text: "One element at most has default-route.",
		check: malformed(`[{"name": "a", "default-route": ["10.0.0.1"]}, {"name": "b", "default-route": ["10.0.0.1"]}]`)},
	{section: "1.3", text: "ipam-claim-reference and ips exclude each other.", check: malformed(`[{"name": "a", "ips": ["10.0.0.1"], "ipam-claim-reference": "c"}]`)},
	{section: "1.3", text: "default-route takes the place of the pod's default routes of its families.", elsewhere: [2]string{"node-agent/attach/defaultroute_test.go", "TestDefaultRoute"}},
	{section: "1.3", text: "bandwidth, portMappings and infiniband-guid reach plugins as capability arguments.", elsewhere: [2]string{"node-agent/delegate/arguments_test.go", "TestArgumentsReachPlugins"}},
	{section: "1.3", text: "cni-args reach plugins in args.cni of their configuration.", elsewhere: [2]string{"node-agent/delegate/arguments_test.go", "TestArgumentsReachPlugins"}},
	{section: "1.3", text: "A request that the network cannot honour fails the attachment.", elsewhere: [2]string{"operator/controllers/asked_test.go", "TestAskedThatCannotBeHad"}},
	{section: "1.3", text: "device-info of a PCI device is in the status.", elsewhere: [2]string{"node-agent/publish/vf_test.go", "TestOneDeviceEverywhere"}},
	{section: "1.3", text: "A definition's k8s.v1.cni.cncf.io/resourceName has its plugins get a device of the pod's.", elsewhere: [2]string{"node-agent/delegate/device_test.go", "TestPluginsGetTheDevice"}},
	{section: "1.3", text: "The n-th attachment that needs a device of a resource gets the pod's n-th, or the pod fails.", elsewhere: [2]string{"operator/decide/pluginresource_test.go", "TestDevicesOfInterfaces"}},
	{section: "1.3", text: "device-info of a device plugin is handed to plugins, and is in the status.", elsewhere: [2]string{"node-agent/delegate/device_test.go", "TestPluginsGetTheDevice"}},
}

const conf = `{"cniVersion": "0.3.1", "name": "a", "type": "macvlan", "master": "eth1"}`

func native(config string) func(*testing.T) {
	return func(t *testing.T) {
		if got := netattach.Translate(netattach.Definition{Namespace: "pod", Name: "a", Config: config}); got.Verdict != netattach.Native {
			t.Errorf("%s: %v", got.Verdict, got.Reasons)
		}
	}
}

func checkNoConfig(t *testing.T) {
	if got := netattach.Translate(netattach.Definition{Namespace: "pod", Name: "a"}); got.Verdict != netattach.Refused || len(got.Reasons) != 1 {
		t.Errorf("%s: %v", got.Verdict, got.Reasons)
	}
}

func checkOtherName(t *testing.T) {
	got := netattach.Translate(netattach.Definition{Namespace: "pod", Name: "b", Config: conf})
	if got.Verdict != netattach.Native || len(got.Notes) != 1 || got.Notes[0].Path != "name" {
		t.Errorf("%s: %v", got.Verdict, got.Notes)
	}
}

func selects(value string, want ...string) func(*testing.T) {
	return func(t *testing.T) {
		elements, err := npwg.Parse(value, "pod")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range elements {
			got = append(got, e.Namespace+"/"+e.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// malformed values select nothing at all.
func malformed(values ...string) func(*testing.T) {
	return func(t *testing.T) {
		for _, value := range values {
			if elements, err := npwg.Parse(value, "pod"); err == nil || elements != nil {
				t.Errorf("%s selects %v", value, elements)
			}
		}
	}
}

func checkNames(t *testing.T) {
	selects("a,0,a-0-b,x/a", "pod/a", "pod/0", "pod/a-0-b", "x/a")(t)
	malformed("A", "a_b", "-a", "a-", "a.b", "B/a", `[{"name": "A"}]`, `[{"name": "a", "namespace": "-b"}]`)(t)
}

func checkIPs(t *testing.T) {
	elements, err := npwg.Parse(`[{"name": "a", "ips": ["10.2.2.42", "2001:db8::5"]}]`, "pod")
	if err != nil || len(elements[0].IPs) != 2 || elements[0].IPs[1].Addr != netip.MustParseAddr("2001:db8::5") {
		t.Errorf("%v, %v", elements, err)
	}
	malformed(`[{"name": "a", "ips": ["10.2.2.256"]}]`, `[{"name": "a", "ips": ["2001:db8:::5"]}]`, `[{"name": "a", "ips": [7]}]`)(t)
}

func checkMACs(t *testing.T) {
	for text, length := range map[string]int{"02:23:45:67:89:01": 6, "80:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22": 20} {
		elements, err := npwg.Parse(`[{"name": "a", "mac": "`+text+`"}]`, "pod")
		if err != nil || len(elements[0].MAC) != length {
			t.Errorf("%s: %v, %v", text, elements, err)
		}
	}
	malformed(`[{"name": "a", "mac": "02:23:45:67:89"}]`, `[{"name": "a", "mac": "02:23:45:67:89:01:02:03"}]`)(t)
}

func checkInterfaces(t *testing.T) {
	selects(`[{"name": "a", "interface": "abcdefghijklmno"}]`, "pod/a")(t)
	malformed(`[{"name": "a", "interface": "abcdefghijklmnop"}]`, `[{"name": "a", "interface": ""}]`, `[{"name": "a", "interface": "a b"}]`, `[{"name": "a", "interface": ".."}]`, "a@b:c")(t)
}

func checkUniqueInterfaces(t *testing.T) {
	elements, err := npwg.Parse("a,a,b,a@x", "pod")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range elements {
		seen[e.Interface] = true
	}
	if len(seen) != 4 {
		t.Errorf("interfaces are %v", seen)
	}
}

func checkStatusOfTwo(t *testing.T) {
	text, err := netstatus.Encode([]netstatus.Interface{{Name: "a", Interface: "net1"}, {Name: "a", Interface: "net2"}})
	if err != nil {
		t.Fatal(err)
	}
	if list := decode(t, text); len(list) != 2 || list[0]["interface"] != "net1" || list[1]["interface"] != "net2" {
		t.Error(text)
	}
}

func checkStatus(t *testing.T) {
	if v1alpha1.AnnotationNetworkStatus != "k8s.v1.cni.cncf.io/network-status" {
		t.Error(v1alpha1.AnnotationNetworkStatus)
	}
	text, err := netstatus.Encode([]netstatus.Interface{{Name: "default", Default: true}})
	if err != nil || len(decode(t, text)) != 1 {
		t.Error(text, err)
	}
}

func decode(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func checkStatusKeys(t *testing.T) {
	full := netstatus.Interface{Name: "a", Interface: "b", IPs: []netip.Addr{netip.IPv6Loopback()}, MAC: "c", MTU: 1, Default: true,
		DeviceInfo: &netstatus.DeviceInfo{Type: "pci"}, Gateway: []netip.Addr{netip.IPv6Loopback()}}
	text, err := netstatus.Encode([]netstatus.Interface{full})
	if err != nil {
		t.Fatal(err)
	}
	defined := strings.Fields("name interface ips mac mtu default dns device-info gateway")
	for key := range decode(t, text)[0] {
		if !slices.Contains(defined, key) {
			t.Errorf("key %q", key)
		}
	}
}

func checkDNS(t *testing.T) {
	text, err := netstatus.Encode([]netstatus.Interface{{Name: "a", DNS: netstatus.DNS{Nameservers: []string{"10.0.0.1"}, Domain: "b", Search: []string{"c"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if dns, _ := decode(t, text)[0]["dns"].(map[string]any); dns["domain"] != "b" || len(dns) != 3 {
		t.Error(text)
	}
}

func badStatus(interfaces ...netstatus.Interface) func(*testing.T) {
	return func(t *testing.T) {
		if text, err := netstatus.Encode(interfaces); err == nil {
			t.Error(text)
		}
	}
}
