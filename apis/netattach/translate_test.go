package netattach

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func storage(config string) Definition {
	d := Definition{Namespace: "demo", Name: "storage", Config: config}
	if strings.Contains(config, `"sriov"`) {
		d.ResourceName = "multinet.dev/ens1f0"
	}
	return d
}

func macvlan(master string, ipam *v1alpha1.IPAMSpec, routes ...v1alpha1.Route) *v1alpha1.NetworkSpec {
	return &v1alpha1.NetworkSpec{
		Type: v1alpha1.NetworkTypeMacvlan,
		Macvlan: &v1alpha1.MacvlanSpec{
			Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{v1alpha1.InterfaceName(master)}}, Mode: v1alpha1.MacvlanModeBridge,
		},
		IPAM: ipam, Routes: routes, NamespaceSelector: inDemo,
	}
}

func ranges(all ...v1alpha1.IPRange) *v1alpha1.IPAMSpec { return &v1alpha1.IPAMSpec{Ranges: all} }

var inDemo = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "demo"}}

func TestNative(t *testing.T) {
	withMTU := macvlan("eth1.100", nil)
	withMTU.MTU, withMTU.Macvlan.Mode = ptr.To[int32](1400), v1alpha1.MacvlanModeVEPA
	for name, c := range map[string]struct {
		config  string
		plugins string
		want    *v1alpha1.NetworkSpec
		// notes are paths.
		notes string
	}{
		"macvlan without addresses": {`{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1", "mode": "bridge", "capabilities": {"mac": true}, "ipam": {}}`,
			"macvlan", macvlan("eth1", nil), ""},
		"everything of macvlan": {`{"name": "storage", "type": "macvlan", "master": "eth1.100", "mode": "vepa", "mtu": 1400, "bcqueuelen": 0, "linkInContainer": false, "mac": ""}`,
			"macvlan", withMTU, ""},
		"a list of one": {`{"cniVersion": "1.1.0", "name": "storage", "disableCheck": true, "plugins": [{"type": "macvlan", "master": "eth1", "mtu": 0}]}`,
			"macvlan", macvlan("eth1", nil), "disableCheck"},
		"host-local, old form": {`{"name": "other", "type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.99", "gateway": "10.1.0.254", "dataDir": "/x", "routes": [{"dst": "10.9.0.0/16"}, {"dst": "10.8.0.0/16", "gw": "10.1.0.7"}]}}`,
			"macvlan+host-local", macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.1.0.0/24", Start: "10.1.0.10", End: "10.1.0.99", Gateway: "10.1.0.254"}),
				v1alpha1.Route{To: "10.9.0.0/16"}, v1alpha1.Route{To: "10.8.0.0/16", Via: "10.1.0.7"}), "name ipam.type ipam.dataDir"},
		"host-local, dual stack, two ranges of one list": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]], "routes": [{"dst": "::/0"}]}}`,
			"macvlan+host-local", macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.1.0.0/24", Gateway: "10.1.0.1"}, v1alpha1.IPRange{CIDR: "10.2.0.0/24", Gateway: "10.2.0.1"},
				v1alpha1.IPRange{CIDR: "fd00::/64", Gateway: "fd00::1"}), v1alpha1.Route{To: "::/0"}), "ipam.type"},
		"static": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/128"}], "dns": {"nameservers": ["10.1.0.2"]}}}`,
			"macvlan+static", macvlan("eth1", &v1alpha1.IPAMSpec{Quarantine: &metav1.Duration{}, Ranges: []v1alpha1.IPRange{
				{CIDR: "10.1.0.0/24", Start: "10.1.0.5", End: "10.1.0.5", Gateway: "10.1.0.1"}, {CIDR: "fd00::5/128", Start: "fd00::5", End: "fd00::5"}}}), "ipam.type ipam.dns"},
		"whereabouts": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "192.168.2.225/28", "exclude": ["192.168.2.229/30", "192.168.2.236/32", "10.0.0.0/8"], "gateway": "192.168.2.222", "log_file": "/x", "kubernetes": {"kubeconfig": "/y"}, "gatewai": 1}}`,
			"macvlan+whereabouts", nil, "ipam.gateway"},
		"whereabouts, range with exclusions": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "192.168.2.225/28", "exclude": ["192.168.2.229/30", "192.168.2.236/32", "10.0.0.0/8"], "gateway": "192.168.2.225", "log_file": "/x", "gatewai": 1}}`,
			"macvlan+whereabouts", macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "192.168.2.224/28", Gateway: "192.168.2.225", Exclude: []string{"192.168.2.228/30", "192.168.2.236/32"}})),
			"ipam.exclude ipam.log_file ipam.gatewai"},
		"whereabouts, first to last": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "192.168.2.10-192.168.2.20/24", "range_start": "192.168.2.1"}}`,
			"macvlan+whereabouts", macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "192.168.2.0/24", Start: "192.168.2.10", End: "192.168.2.20"})), ""},
		"whereabouts, dual stack": {`{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "ipRanges": [{"range": "10.1.0.0/24", "range_start": "10.1.0.8", "range_end": "10.1.0.9"}, {"range": "fd00::/112", "exclude": ["fd00::/120"]}]}}`,
			"macvlan+whereabouts", macvlan("eth1", ranges(v1alpha1.IPRange{CIDR: "10.1.0.0/24", Start: "10.1.0.8", End: "10.1.0.9"}, v1alpha1.IPRange{CIDR: "fd00::/112", Exclude: []string{"fd00::/120"}})), ""},
		"sriov, everything": {`{"type": "sriov", "vlan": 100, "vlanQoS": 3, "vlanProto": "802.1AD", "spoofchk": "off", "trust": "on", "link_state": "enable", "min_tx_rate": 100, "max_tx_rate": 1500, "logLevel": "debug"}`,
			"sriov", sriov(v1alpha1.SRIOVSpec{VLAN: ptr.To[int32](100), VLANQoS: ptr.To[int32](3), VLANProto: "802.1ad", SpoofCheck: ptr.To(false), Trust: ptr.To(true), LinkState: "Enable",
				MinTxRate: ptr.To(resource.MustParse("100M")), MaxTxRate: ptr.To(resource.MustParse("1500M"))}), "logLevel"},
		"host-device": {`{"cniVersion": "0.3.1", "name": "storage", "type": "host-device", "device": "eth1", "hwaddr": "no MAC", "kernelpath": "", "pciBusID": "", "dpdkMode": false, "capabilities": {"mac": true}, "ipam": {"type": "whereabouts", "range": "10.1.0.0/24"}}`,
			"host-device+whereabouts", hostDevice(v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}, ranges(v1alpha1.IPRange{CIDR: "10.1.0.0/24"})), "hwaddr"},
		"host-device by MAC": {`{"type": "host-device", "hwaddr": "AABB.CC00.0001", "kernelpath": "/sys/devices/pci0000:00", "mtu": 9000}`,
			"host-device", hostDevice(v1alpha1.UplinkSelector{MACs: []string{"aa:bb:cc:00:00:01"}}, nil), "kernelpath mtu"},
		"host-device by PCI address": {`{"type": "host-device", "pciBusID": "0000:3B:00.1", "ipam": {"type": "whereabouts", "range": "10.1.0.0/24"}}`,
			"host-device+whereabouts", hostDevice(v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.1"}}, ranges(v1alpha1.IPRange{CIDR: "10.1.0.0/24"})), ""},
		"host-device by path": {`{"type": "host-device", "kernelpath": "/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.1"}`,
			"host-device", hostDevice(v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.1"}}, nil), ""},
		"sriov, nothing": {`{"type": "sriov", "vlan": 0, "vlanQoS": 0, "vlanProto": "802.1q", "max_tx_rate": 0, "ipam": {}}`,
			"sriov", sriov(v1alpha1.SRIOVSpec{SpoofCheck: ptr.To(true), Trust: ptr.To(false)}), "spoofchk trust"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Translate(storage(c.config))
			if c.want == nil {
				if got.Verdict != Delegated || got.Network.CNI == nil || paths(got.Reasons) != c.notes {
					t.Errorf("got %s because of %v", got.Verdict, got.Reasons)
				}
				return
			}
			if got.Verdict != Native || len(got.Reasons) > 0 {
				t.Fatalf("%s: %v", got.Verdict, got.Reasons)
			}
			if diff := cmp.Diff(c.want, got.Network); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if plugins := strings.Join(got.Plugins, ","); plugins != c.plugins {
				t.Errorf("plugins %s, want %s", plugins, c.plugins)
			}
			if notes := paths(got.Notes); notes != c.notes {
				t.Errorf("notes %v, want those of %s", got.Notes, c.notes)
			}
		})
	}
}

func sriov(spec v1alpha1.SRIOVSpec) *v1alpha1.NetworkSpec {
	spec.Device.PFNames, spec.DeviceType = []v1alpha1.InterfaceName{"ens1f0"}, v1alpha1.VFDeviceTypeNetDevice
	return &v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeSRIOV, SRIOV: &spec, NamespaceSelector: inDemo}
}

func hostDevice(nic v1alpha1.UplinkSelector, ipam *v1alpha1.IPAMSpec) *v1alpha1.NetworkSpec {
	return &v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeHostDevice, HostDevice: &v1alpha1.HostDeviceSpec{NIC: nic}, IPAM: ipam, NamespaceSelector: inDemo}
}

func paths(problems []jsonpos.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Path)
	}
	return strings.Join(all, " ")
}

// inMacvlan puts keys into a configuration of macvlan, ipam into one with that IPAM.
func inMacvlan(keys string) string { return `{"type": "macvlan", "master": "eth1", ` + keys + `}` }
func device(keys string) string    { return `{"type": "host-device", ` + keys + `}` }
func ipam(keys string) string      { return inMacvlan(`"ipam": {` + keys + `}`) }

func TestNotNative(t *testing.T) {
	for name, c := range map[string]struct {
		config  string
		verdict Verdict
		// want is the first reason.
		want string
	}{
		"nothing":                   {" ", Refused, "1:1 : spec.config is empty: the configuration is a file on each node, which Multinet does not read"},
		"no JSON":                   {"{\n  \"type\": \"macvlan\",\n}", Refused, "3:1 : spec.config is not JSON: invalid character '}' looking for beginning of object key string"},
		"key twice":                 {`{"type": "macvlan", "type": "sriov"}`, Refused, `1:21 : spec.config is not JSON: key "type" stands twice`},
		"a list of configurations":  {`[{"type": "macvlan"}]`, Refused, "1:1 : is a list, where an object is needed"},
		"no type":                   {"{}", Refused, "1:1 type: the name of a CNI plugin is needed"},
		"a path for a type":         {`{"type": "../sh"}`, Refused, "1:10 type: the name of a CNI plugin is needed"},
		"version":                   {inMacvlan(`"cniVersion": "0.9"`), Refused, `1:53 cniVersion: "0.9" is not a version of CNI: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`},
		"name":                      {inMacvlan(`"name": "a b"`), Refused, `1:47 name: "a b" is not the name of a CNI network`},
		"another plugin":            {`{"type": "bridge", "bridge": "br0"}`, Delegated, `1:10 type: plugin "bridge" is not macvlan, sriov or host-device, which Multinet does itself`},
		"a chain":                   {`{"plugins": [{"type": "macvlan", "master": "eth1"}, {"type": "tuning", "mtu": 9000}]}`, Delegated, `1:62 plugins[1].type: plugin "tuning" is chained behind the first one, which needs the plugins themselves`},
		"an empty chain":            {`{"plugins": []}`, Refused, "1:13 plugins: names no plugin"},
		"plugin of another kind":    {`{"plugins": ["macvlan"]}`, Refused, "1:14 plugins[0]: is a string, where an object is needed"},
		"arguments":                 {inMacvlan(`"args": {"cni": {"ips": ["10.0.0.1"]}}`), Delegated, "1:47 args: arguments are for a CNI plugin"},
		"runtime configuration":     {inMacvlan(`"runtimeConfig": {}`), Delegated, "1:56 runtimeConfig: is for runtimes to set and for a CNI plugin to read"},
		"no master":                 {`{"type": "macvlan"}`, Delegated, "1:1 master: is missing, which means the interface of the node's default route: an uplink has a name"},
		"master":                    {`{"type": "macvlan", "master": "an-interface-name"}`, Delegated, `1:31 master: "an-interface-name" cannot be the name of an uplink: at most 15 letters, digits, '.', '_' and '-'`},
		"mode":                      {inMacvlan(`"mode": "Bridge"`), Refused, `1:47 mode: "Bridge" is not a macvlan mode: bridge, private, vepa, passthru`},
		"MTU":                       {inMacvlan(`"mtu": 67`), Refused, "1:46 mtu: is 67: IPv4 needs at least 68"},
		"MTU of another kind":       {inMacvlan(`"mtu": "1500"`), Refused, "1:46 mtu: is a string, where a number is needed"},
		"MAC":                       {inMacvlan(`"mac": "02:00:00:00:00:01"`), Delegated, "1:46 mac: a Network gives each pod a MAC of its own"},
		"link in container":         {inMacvlan(`"linkInContainer": true`), Delegated, "1:58 linkInContainer: an uplink is an interface of the node"},
		"broadcast queue":           {inMacvlan(`"bcqueuelen": 9`), Delegated, "1:53 bcqueuelen: a Network leaves the broadcast queue as it is"},
		"another IPAM":              {ipam(`"type": "dhcp"`), Delegated, `1:56 ipam.type: IPAM plugin "dhcp" is not host-local, static or whereabouts, whose addresses Multinet gives out itself`},
		"host-local without ranges": {ipam(`"type": "host-local"`), Refused, "1:47 ipam.ranges: host-local needs subnet or ranges"},
		"host bits":                 {ipam(`"type": "host-local", "subnet": "10.0.0.1/24"`), Refused, `1:80 ipam.subnet: "10.0.0.1/24" is not a subnet in CIDR form without host bits`},
		"small subnet":              {ipam(`"type": "host-local", "subnet": "10.0.0.0/31"`), Refused, "1:80 ipam.subnet: 10.0.0.0/31 is too small for host-local"},
		"start outside":             {ipam(`"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}]]`), Refused, "1:122 ipam.ranges[0][0].rangeStart: 10.0.1.1 is not inside 10.0.0.0/24"},
		"end before start":          {ipam(`"type": "host-local", "subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"`), Refused, "1:80 ipam.subnet: the range ends at 10.0.0.8, before it starts at 10.0.0.9"},
		"gateway elsewhere":         {ipam(`"type": "host-local", "subnet": "10.0.0.0/24", "gateway": "10.0.1.1"`), Delegated, "1:106 ipam.gateway: 10.0.1.1 is not inside 10.0.0.0/24: a Network routes to neighbours only"},
		"two IPv4 addresses":        {ipam(`"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "10.0.1.0/24"}]]`), Delegated, "1:122 ipam.ranges[1][0].subnet: 10.0.1.0/24 after 10.0.0.0/24: a Network gives a pod one IPv4 address"},
		"families in one list":      {ipam(`"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]]`), Refused, "1:120 ipam.ranges[0][1].subnet: is of another family than the first of its list"},
		"ranges not in lists":       {ipam(`"type": "host-local", "ranges": [{"subnet": "10.0.0.0/24"}]`), Refused, "1:81 ipam.ranges[0]: is an object, where a list is needed"},
		"two ranges of one subnet":  {ipam(`"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24", "rangeEnd": "10.0.0.9"}, {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20"}]]`), Delegated, "1:144 ipam.ranges[0][1].subnet: 10.0.0.0/24 overlaps 10.0.0.0/24: a Network cannot have two ranges of one subnet"},
		"multicast":                 {ipam(`"type": "host-local", "subnet": "224.0.0.0/24"`), Refused, "1:80 ipam.subnet: 224.0.0.0/24: no host can have an address of it"},
		"static without addresses":  {ipam(`"type": "static"`), Delegated, "1:47 ipam.addresses: static without addresses takes them from the pods: a Network needs ranges, and an AddressClaim names a pod's"},
		"static without length":     {ipam(`"type": "static", "addresses": [{"address": "10.0.0.1"}]`), Refused, `1:92 ipam.addresses[0].address: "10.0.0.1" is not an address in CIDR form`},
		"static subnet":             {ipam(`"type": "static", "addresses": [{"address": "10.0.0.0/24"}]`), Refused, "10.0.0.0/24 is the address of the subnet, no host can have it"},
		"static broadcast":          {ipam(`"type": "static", "addresses": [{"address": "10.0.0.255/24"}]`), Refused, "10.0.0.255/24 is the address of the subnet, no host can have it"},
		"static, own gateway":       {ipam(`"type": "static", "addresses": [{"address": "10.0.0.1/24", "gateway": "10.0.0.1"}]`), Refused, "ipam.addresses[0].gateway: is the pod's own address"},
		"static, two of IPv4":       {ipam(`"type": "static", "addresses": [{"address": "10.0.0.1/24"}, {"address": "10.0.1.1/24"}]`), Delegated, "ipam.addresses[1].address: 10.0.1.0/24 after 10.0.0.0/24: a Network gives a pod one IPv4 address"},
		"whereabouts without range": {ipam(`"type": "whereabouts"`), Refused, "ipam.range: whereabouts needs range or ipRanges, unless a file on each node has it, which Multinet does not read"},
		"whereabouts range":         {ipam(`"type": "whereabouts", "range": "10.0.0.0"`), Refused, `ipam.range: "10.0.0.0" is not a subnet in CIDR form`},
		"whereabouts first":         {ipam(`"type": "whereabouts", "range": "10.0.1.1-10.0.0.9/24"`), Refused, `ipam.range: "10.0.1.1" is not an address inside 10.0.0.0/24`},
		"whereabouts exclusion":     {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "exclude": ["10.0.0.0"]`), Refused, `ipam.exclude[0]: "10.0.0.0" is not a prefix in CIDR form`},
		"whereabouts, all excluded": {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "exclude": ["10.0.0.0/16"]`), Refused, "ipam.exclude[0]: 10.0.0.0/16 excludes all of 10.0.0.0/24"},
		"whereabouts and static":    {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "addresses": [{"address": "10.0.1.1/24"}]`), Delegated, "ipam.addresses: addresses beside those of the ranges"},
		"route with host bits":      {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "10.1.0.1/24"}]`), Refused, `ipam.routes[0].dst: "10.1.0.1/24" is not a prefix in CIDR form without host bits`},
		"route of another family":   {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "fd00::/64"}]`), Delegated, "ipam.routes[0].dst: fd00::/64 has no range of its family, which a route of a Network needs"},
		"route over mixed families": {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "10.1.0.0/24", "gw": "fd00::1"}]`), Refused, "ipam.routes[0].gw: fd00::1 is not of the family of 10.1.0.0/24"},
		"route to afar":             {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "10.1.0.0/24", "gw": "10.2.0.1"}]`), Delegated, "ipam.routes[0].gw: 10.2.0.1 is in no range: a Network routes to neighbours only"},
		"route with metric":         {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "10.1.0.0/24", "priority": 7}]`), Delegated, "ipam.routes[0].priority: a route of a Network has a destination and a next hop alone"},
		"route twice":               {ipam(`"type": "whereabouts", "range": "10.0.0.0/24", "routes": [{"dst": "10.1.0.0/24"}, {"dst": "10.1.0.0/24", "gw": "10.0.0.1"}]`), Delegated, "ipam.routes[1].dst: a second route to 10.1.0.0/24: a Network has one"},
		"VLAN":                      {`{"type": "sriov", "vlan": 4095}`, Refused, "1:27 vlan: is 4095, where a whole number from 0 to 4094 is needed"},
		"VLAN priority alone":       {`{"type": "sriov", "vlanQoS": 1}`, Refused, "vlan: is 0 or missing, where vlanQoS or vlanProto needs a VLAN"},
		"switch":                    {`{"type": "sriov", "trust": "yes"}`, Refused, `trust: "yes" is not on or off`},
		"link state":                {`{"type": "sriov", "link_state": "up"}`, Refused, `link_state: "up" is not auto, enable or disable`},
		"rates":                     {`{"type": "sriov", "min_tx_rate": 2, "max_tx_rate": 1}`, Refused, "min_tx_rate: is greater than max_tx_rate"},
		"device without a name":     {device(`"device": "", "hwaddr": null`), Refused, "1:1 : names no device: the plugin needs device, hwaddr, kernelpath or pciBusID"},
		"device":                    {device(`"device": "eth1:0"`), Delegated, `1:35 device: "eth1:0" cannot be the name of a NIC: at most 15 letters, digits, '.', '_' and '-'`},
		"device, MAC":               {device(`"hwaddr": "aa:bb"`), Refused, `1:35 hwaddr: "aa:bb" is not a MAC`},
		"device, MAC of InfiniBand": {device(`"hwaddr": "80-00-11-22-33-44-55-66-77-88-99-AA-BB-CC-DD-EE-FF-00-11-22"`), Delegated, "1:35 hwaddr: 80:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22 is not a MAC of Ethernet, and a Network has no other NICs"},
		"device, path":              {device(`"kernelpath": "/sys/devices/pci0000:00/0000:00:03.0/virtio2"`), Delegated, "1:39 kernelpath: does not end with a PCI address, and nodes publish no other place below /sys/devices/: name the NIC by device or hwaddr"},
		"device, path elsewhere":    {device(`"kernelpath": "/sys/class/net/eth1"`), Refused, `1:39 kernelpath: "/sys/class/net/eth1" does not begin with /sys/devices/`},
		"device, PCI address alone": {device(`"pciBusID": "0000:01:00.0"`), Delegated, "1:37 pciBusID: the device may be one that a program drives (DPDK), which a Network does not give: with ipam, and without device, hwaddr and kernelpath, it is a NIC"},
		"device, name and PCI":      {device(`"device": "eth1", "pciBusID": "0000:01:00.0", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/24"}]}`), Delegated, "1:55 pciBusID: the device may be one that a program drives"},
		"device, no PCI address":    {device(`"pciBusID": "01:00.0", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/24"}]}`), Refused, `1:37 pciBusID: "01:00.0" is not a PCI address with its domain, such as 0000:3b:00.1`},
		"device for DPDK":           {device(`"device": "eth1", "dpdkMode": true`), Delegated, "1:55 dpdkMode: leaves the device on the node, where a Network moves it into the pod"},
		"device of a runtime":       {device(`"runtimeConfig": {"deviceID": "0000:01:00.0"}`), Delegated, "1:42 runtimeConfig: is for runtimes to set and for a CNI plugin to read"},
		"device of no runtime":      {device(`"runtimeConfig": {}`), Refused, "1:1 : names no device"},
		"device, another IPAM":      {device(`"device": "eth1", "ipam": {"type": "dhcp"}`), Delegated, `1:60 ipam.type: IPAM plugin "dhcp" is not host-local, static or whereabouts`},
		"one VF":                    {`{"type": "sriov", "deviceID": "0000:01:00.1"}`, Refused, `resource "multinet.dev/ens1f0" is that of VFs which Multinet gives to pods itself`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Translate(storage(c.config))
			if got.Verdict != c.verdict || (got.Network == nil) != (c.verdict == Refused) || len(got.Reasons) == 0 {
				t.Fatalf("%s, %v, because of %v", got.Verdict, got.Network, got.Reasons)
			}
			first := got.Reasons[0]
			if text := fmt.Sprintf("%d:%d %s: %s", first.At.Line, first.At.Column, first.Path, first.Text); !strings.Contains(text, c.want) {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

// TestResourceName: VFs of Multinet are chosen by their PF, whose name is in the attribute k8s.cni.cncf.io/resourceName of the devices; what a
// device plugin has goes to CNI plugins.
func TestResourceName(t *testing.T) {
	sriov, macvlan, device, named := `{"type": "sriov"}`, `{"type": "macvlan", "master": "eth1"}`, `{"type": "host-device"}`, device(`"device": "eth1"`)
	for name, c := range map[string]struct {
		config, resource string
		verdict          Verdict
		want             string
	}{
		"a PF":                    {sriov, "multinet.dev/ens1f0", Native, ""},
		"VFs, none":               {sriov, "", Delegated, "the annotation k8s.v1.cni.cncf.io/resourceName is missing, so nothing says which VFs are meant: multinet.dev/PF for those of the interface PF"},
		"VFs of a plugin":         {sriov, "intel.com/sriov", Delegated, `resource "intel.com/sriov" is that of a device plugin, of which the plugin sriov gets a VF: write multinet.dev/PF into the annotation`},
		"VFs of a PF with a slip": {sriov, "multinet.dev/a b", Refused, `resource "multinet.dev/a b" names no interface: write multinet.dev/PF`},
		"a shared uplink":         {macvlan, "intel.com/nic", Native, `resource "intel.com/nic" of the annotation k8s.v1.cni.cncf.io/resourceName has no effect: pods share the uplink`},
		"a device":                {device, "intel.com/nic", Delegated, `the device is the one that resource "intel.com/nic" of the annotation k8s.v1.cni.cncf.io/resourceName stands for, not one that the definition names`},
		"a device that is named":  {named, "intel.com/nic", Delegated, `the device is the one that resource "intel.com/nic"`},
		"our device for a plugin": {device, "multinet.dev/ens1f0", Refused, `resource "multinet.dev/ens1f0" is that of VFs which Multinet gives to pods itself, and no CNI plugin gets one`},
		"no domain":               {device, "nic", Refused, `annotation k8s.v1.cni.cncf.io/resourceName: "nic" is not the name of an extended resource`},
		"a native resource":       {device, "kubernetes.io/nic", Refused, "is not the name of an extended resource"},
		"a quota":                 {device, "requests.intel.com/nic", Refused, "is not the name of an extended resource"},
		"too long":                {device, "a.com/" + strings.Repeat("a", 64), Refused, "is not the name of an extended resource"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Translate(Definition{Namespace: "demo", Name: "a", Config: c.config, ResourceName: c.resource})
			told := ""
			for _, p := range slices.Concat(got.Reasons, got.Notes) {
				told += p.Text + "\n"
			}
			if got.Verdict != c.verdict || !strings.Contains(told, c.want) {
				t.Fatalf("%s: %s", got.Verdict, told)
			}
			switch {
			case got.Verdict == Delegated && got.Network.CNI.ResourceName != c.resource:
				t.Errorf("%+v", got.Network.CNI)
			case name == "a PF" && !slices.Equal(got.Network.SRIOV.Device.PFNames, []v1alpha1.InterfaceName{"ens1f0"}):
				t.Errorf("%+v", got.Network.SRIOV)
			}
		})
	}
}

// TestNameThatNoPodCanSelect: Kubernetes allows dots in names, the annotation does not.
func TestNameThatNoPodCanSelect(t *testing.T) {
	got := Translate(Definition{Namespace: "demo", Name: "a.b", Config: inMacvlan(`"mtu": 0`)})
	if got.Verdict != Refused || !strings.HasPrefix(got.Reasons[0].Text, `no pod can select it: "a.b" is not the name of a NetworkAttachmentDefinition`) {
		t.Errorf("%s, %v", got.Verdict, got.Reasons)
	}
}

func TestNetworkName(t *testing.T) {
	for want, d := range map[string][2]string{
		"nad-4-demo-storage": {"demo", "storage"},
		"nad-3-a-b-c":        {"a-b", "c"},
		"nad-1-a-b-c":        {"a", "b-c"},
		"nad-10-nnnnnnnnnn-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": {strings.Repeat("n", 10), strings.Repeat("a", 30)},
		"nad-x-nnnnnnnnnn-aaaaaaaaaaaaaaaaaaaaaa-48035c78": {strings.Repeat("n", 10), strings.Repeat("a", 31)},
		"nad-x-nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn-a82c2d55": {strings.Repeat("n", 63), "storage"},
	} {
		got := NetworkName(d[0], d[1])
		if got != want || len(got) > 48 {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
		namespace, name, found := Origin(got)
		if shortened := strings.HasPrefix(got, "nad-x-"); found == shortened || found && (namespace != d[0] || name != d[1]) {
			t.Errorf("%s comes from %s/%s, %v", got, namespace, name, found)
		}
	}
	for _, other := range []string{"storage", "nad-", "nad-4", "nad-4-demo", "nad-4-demo-", "nad-5-demo-storage", "nad-04-demo-storage", "nad--1-a-b", "nad-0--a", "nad-99-a-b"} {
		if got := StatusName(other); got != other {
			t.Errorf("%s is called %s", other, got)
		}
	}
	if got := StatusName("nad-4-demo-storage"); got != "demo/storage" {
		t.Error(got)
	}
}

func TestAllowedNamespaces(t *testing.T) {
	d := NetworkAttachmentDefinition{Spec: NetworkAttachmentDefinitionSpec{Config: inMacvlan(`"mtu": 0`)}}
	d.Namespace, d.Name, d.Annotations = "demo", "a", map[string]string{AnnotationNamespaces: " b,, c", "k8s.v1.cni.cncf.io/resourceName": "x/y"}
	if got := d.Definition().ResourceName; got != "x/y" {
		t.Errorf("resource name %q", got)
	}
	got := Translate(d.Definition()).Network.NamespaceSelector
	if text := metav1.FormatLabelSelector(got); text != "kubernetes.io/metadata.name in (b,c,demo)" {
		t.Error(text)
	}
}

func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{
		"", "{}", inMacvlan(`"mtu": 1500`), `{"plugins": [{"type": "sriov", "vlan": 3}, null]}`,
		ipam(`"type": "host-local", "subnet": "10.0.0.0/24", "ranges": [[], [{}], [{"subnet": "fd00::/64", "rangeEnd": "fd00::9"}]], "routes": [{"dst": "10.1.0.0/16", "gw": "10.0.0.1"}]`),
		ipam(`"type": "static", "addresses": [{"address": "fd00::5/64", "gateway": "fe80::1"}, 7]`),
		device(`"device": "eth1", "hwaddr": "aa:bb:cc:00:00:01"`), device(`"kernelpath": "/sys/devices/a", "runtimeConfig": {"deviceID": "a"}`),
		ipam(`"type": "whereabouts", "range": "::ffff:10.0.0.1-10.0.0.9/24", "ipRanges": [{"range": "fd00::/8", "exclude": ["fd00::/64", "fd00::1/64"]}], "gateway": "fd00::1"`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, config string) {
		got := Translate(storage(config))
		if (got.Verdict == Refused) != (got.Network == nil) || (got.Verdict == Native) != (len(got.Reasons) == 0) {
			t.Fatalf("%q: %+v", config, got)
		}
		for _, p := range append(got.Reasons, got.Notes...) {
			if p.Text == "" || jsonpos.PositionOf(config, p.At.Offset) != p.At {
				t.Fatalf("%q: %+v names no place", config, p)
			}
		}
	})
}
