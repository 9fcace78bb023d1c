package plan

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func ptr[T any](v T) *T { return &v }

func order() *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-0123456789"},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod:          v1alpha1.PodReference{Name: "web", UID: "u1"},
			NetworkName:  "storage",
			NodeName:     "node",
			Interface:    "net1",
			PodClaimName: "multinet-storage-0",
			Type:         v1alpha1.NetworkTypeMacvlan,
			Macvlan:      &v1alpha1.MacvlanSpec{Mode: v1alpha1.MacvlanModeBridge, VLAN: ptr(int32(100))},
			MTU:          ptr(int32(1400)),
			MAC:          "02:00:00:00:00:01",
			Addresses: []v1alpha1.AttachmentAddress{
				{Address: "10.20.0.5/24", Gateway: "10.20.0.1"},
				{Address: "fd00:20::5/64"},
			},
			Routes: []v1alpha1.Route{{To: "10.99.0.0/16", Via: "10.20.0.1"}, {To: "fd00:99::/48"}, {To: "fd00:98::/48", Via: "fe80::1"}},
			QoS:    &v1alpha1.ResolvedQoS{ClassName: "gold"},
		},
	}
}

var (
	device = Device{Name: "uplink-eth1", Uplink: "eth1", PCIAddress: "0000:00:03.0"}
	claim  = &Claim{Name: "claim", UID: "c1", Request: "nic", Pool: "node", Device: "uplink-eth1"}
)

func TestFromAttachment(t *testing.T) {
	got, err := FromAttachment(order(), device, claim)
	if err != nil {
		t.Fatal(err)
	}
	want := Attachment{
		Name:         "web-0123456789",
		Network:      "storage",
		PodClaimName: "multinet-storage-0",
		Claim:        claim,
		Interface:    "net1",
		MAC:          HardwareAddr{2, 0, 0, 0, 0, 1},
		Addresses:    []netip.Prefix{netip.MustParsePrefix("10.20.0.5/24"), netip.MustParsePrefix("fd00:20::5/64")},
		Gateways:     []netip.Addr{netip.MustParseAddr("10.20.0.1")},
		Routes: []Route{
			{To: netip.MustParsePrefix("10.99.0.0/16"), Via: netip.MustParseAddr("10.20.0.1")},
			{To: netip.MustParsePrefix("fd00:99::/48")},
			{To: netip.MustParsePrefix("fd00:98::/48"), Via: netip.MustParseAddr("fe80::1")},
		},
		MTU:     1400,
		Device:  device,
		Macvlan: &Macvlan{Mode: "bridge", VLAN: 100},
		QoS:     &QoS{Class: "gold"},
	}
	comparers := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
	if diff := cmp.Diff(want, got, comparers); diff != "" {
		t.Errorf("plan differs (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var read Attachment
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read, comparers); diff != "" {
		t.Errorf("plan is another one after the ledger (-want +got):\n%s", diff)
	}
}

func TestFromAttachmentAccepts(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PodNetworkAttachmentSpec){
		"no addresses": func(s *v1alpha1.PodNetworkAttachmentSpec) { s.Addresses, s.Routes = nil, nil },
		"no MTU":       func(s *v1alpha1.PodNetworkAttachmentSpec) { s.MTU = nil },
		"no mode":      func(s *v1alpha1.PodNetworkAttachmentSpec) { s.Macvlan.Mode = "" },
		"no VLAN":      func(s *v1alpha1.PodNetworkAttachmentSpec) { s.Macvlan.VLAN = nil },
		"a host route": func(s *v1alpha1.PodNetworkAttachmentSpec) { s.Routes = []v1alpha1.Route{{To: "10.99.0.1/32"}} },
		"small MTU, IPv4 only": func(s *v1alpha1.PodNetworkAttachmentSpec) {
			s.MTU = ptr(int32(576))
			s.Addresses = s.Addresses[:1]
			s.Routes = nil
		},
		"a single address": func(s *v1alpha1.PodNetworkAttachmentSpec) {
			s.Addresses = []v1alpha1.AttachmentAddress{{Address: "10.20.0.5/32"}}
			s.Routes = []v1alpha1.Route{{To: "10.0.0.0/8"}}
		},
	} {
		pna := order()
		change(&pna.Spec)
		if _, err := FromAttachment(pna, device, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFromAttachmentRefuses(t *testing.T) {
	type spec = v1alpha1.PodNetworkAttachmentSpec
	address := func(s *spec, a, gateway string) {
		s.Addresses[0] = v1alpha1.AttachmentAddress{Address: a, Gateway: gateway}
		s.Routes = nil
	}
	route := func(s *spec, to, via string) { s.Routes = append(s.Routes, v1alpha1.Route{To: to, Via: via}) }
	for name, test := range map[string]struct {
		change func(*spec)
		field  string
	}{
		"type":                   {func(s *spec) { s.Type = "IPVLAN" }, "spec.type"},
		"no macvlan":             {func(s *spec) { s.Macvlan = nil }, "spec.macvlan"},
		"mode":                   {func(s *spec) { s.Macvlan.Mode = "Source" }, "spec.macvlan.mode"},
		"vlan 0":                 {func(s *spec) { s.Macvlan.VLAN = ptr(int32(0)) }, "spec.macvlan.vlan"},
		"vlan 4095":              {func(s *spec) { s.Macvlan.VLAN = ptr(int32(4095)) }, "spec.macvlan.vlan"},
		"no network":             {func(s *spec) { s.NetworkName = "" }, "spec.networkName"},
		"no interface":           {func(s *spec) { s.Interface = "" }, "spec.interface"},
		"long interface":         {func(s *spec) { s.Interface = "abcdefghijklmnop" }, "spec.interface"},
		"path as interface":      {func(s *spec) { s.Interface = "../all" }, "spec.interface"},
		"eth0":                   {func(s *spec) { s.Interface = "eth0" }, "spec.interface"},
		"all":                    {func(s *spec) { s.Interface = "all" }, "spec.interface"},
		"default":                {func(s *spec) { s.Interface = "default" }, "spec.interface"},
		"mac":                    {func(s *spec) { s.MAC = "no mac" }, "spec.mac"},
		"long mac":               {func(s *spec) { s.MAC = "02:00:00:00:00:00:00:01" }, "spec.mac"},
		"group mac":              {func(s *spec) { s.MAC = "03:00:00:00:00:01" }, "spec.mac"},
		"zero mac":               {func(s *spec) { s.MAC = "00:00:00:00:00:00" }, "spec.mac"},
		"address without prefix": {func(s *spec) { address(s, "10.20.0.5", "") }, "spec.addresses[0].address"},
		"multicast address":      {func(s *spec) { address(s, "224.0.0.1/24", "") }, "spec.addresses[0].address"},
		"broadcast address":      {func(s *spec) { address(s, "255.255.255.255/32", "") }, "spec.addresses[0].address"},
		"loopback":               {func(s *spec) { address(s, "127.0.0.2/8", "") }, "spec.addresses[0].address"},
		"unspecified":            {func(s *spec) { address(s, "::/64", "") }, "spec.addresses[0].address"},
		"mapped":                 {func(s *spec) { address(s, "::ffff:10.0.0.1/120", "") }, "spec.addresses[0].address"},
		"prefix of 0":            {func(s *spec) { address(s, "10.20.0.5/0", "") }, "spec.addresses[0].address"},
		"address twice":          {func(s *spec) { address(s, "fd00:20::5/48", "") }, "spec.addresses[1].address"},
		"gateway":                {func(s *spec) { address(s, "10.20.0.5/24", "gw") }, "spec.addresses[0].gateway"},
		"gateway family":         {func(s *spec) { address(s, "10.20.0.5/24", "fd00:20::1") }, "spec.addresses[0].gateway"},
		"gateway outside":        {func(s *spec) { address(s, "10.20.0.5/24", "10.21.0.1") }, "spec.addresses[0].gateway"},
		"own gateway":            {func(s *spec) { address(s, "10.20.0.5/24", "10.20.0.5") }, "spec.addresses[0].gateway"},
		"default of no family":   {func(s *spec) { s.Addresses, s.Routes, s.DefaultRoutes = s.Addresses[:1], nil, []string{"fe80::1"} }, "spec.defaultRoutes[0]"},
		"default twice":          {func(s *spec) { s.DefaultRoutes = []string{"10.20.0.1", "10.20.0.2"} }, "spec.defaultRoutes[1]"},
		"default no neighbour":   {func(s *spec) { s.DefaultRoutes = []string{"10.21.0.1"} }, "spec.defaultRoutes[0]"},
		"default by itself":      {func(s *spec) { s.DefaultRoutes = []string{"10.20.0.5"} }, "spec.defaultRoutes[0]"},
		"default no address":     {func(s *spec) { s.DefaultRoutes = []string{"here"} }, "spec.defaultRoutes[0]"},
		"route to an address":    {func(s *spec) { route(s, "10.1.0.1", "") }, "spec.routes[3].to"},
		"route with host bits":   {func(s *spec) { route(s, "10.1.0.1/16", "") }, "spec.routes[3].to"},
		"route twice":            {func(s *spec) { route(s, "10.99.0.0/16", "") }, "spec.routes[3].to"},
		"route without address":  {func(s *spec) { s.Addresses = s.Addresses[:1] }, "spec.routes[1].to"},
		"via family":             {func(s *spec) { route(s, "10.1.0.0/16", "fd00:20::1") }, "spec.routes[3].via"},
		"via no neighbour":       {func(s *spec) { route(s, "10.1.0.0/16", "10.21.0.1") }, "spec.routes[3].via"},
		"via itself":             {func(s *spec) { route(s, "10.1.0.0/16", "10.20.0.5") }, "spec.routes[3].via"},
		"via zone":               {func(s *spec) { route(s, "fd00:97::/48", "fe80::1%eth0") }, "spec.routes[3].via"},
		"mtu":                    {func(s *spec) { s.MTU = ptr(int32(67)) }, "spec.mtu"},
		"mtu below IPv6's":       {func(s *spec) { s.MTU = ptr(int32(1279)) }, "spec.mtu"},
		"mtu too large":          {func(s *spec) { s.MTU = ptr(int32(65536)) }, "spec.mtu"},
	} {
		t.Run(name, func(t *testing.T) {
			pna := order()
			test.change(&pna.Spec)
			got, err := FromAttachment(pna, device, claim)
			var refused *Error
			if !errors.As(err, &refused) || refused.Field != test.field || refused.Attachment != "default/web-0123456789" {
				t.Errorf("got %+v and error %v, want one of %s", got, err, test.field)
			}
		})
	}
	_, err := FromAttachment(order(), Device{Name: "uplink-eth1"}, claim)
	if want := `attachment default/web-0123456789: device "uplink-eth1": has no interface on this node`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Whatever stands in an attachment, the plan is refused or has types that cannot be wrong.
func FuzzFromAttachment(f *testing.F) {
	f.Add("net1", "02:00:00:00:00:01", "10.20.0.5/24", "10.20.0.1", "10.99.0.0/16", "10.20.0.1", int32(1500), int32(5))
	f.Add("net1", "02:00:00:00:00:01", "fd00::5/64", "", "::/0", "fe80::1", int32(1280), int32(4094))
	f.Add("../x", "ff:ff:ff:ff:ff:ff", "::ffff:1.2.3.4/100", "x", "1.2.3.4/8", "::1", int32(-1), int32(0))
	f.Fuzz(func(t *testing.T, iface, mac, address, gateway, to, via string, mtu, vlan int32) {
		pna := order()
		pna.Spec.Interface, pna.Spec.MAC, pna.Spec.MTU, pna.Spec.Macvlan.VLAN = v1alpha1.InterfaceName(iface), mac, &mtu, &vlan
		pna.Spec.Addresses = []v1alpha1.AttachmentAddress{{Address: address, Gateway: gateway}}
		pna.Spec.Routes = []v1alpha1.Route{{To: to, Via: via}}
		a, err := FromAttachment(pna, device, claim)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("error %T", err)
			}
			return
		}
		if len(a.MAC) != 6 || len(a.Addresses) != 1 || len(a.Routes) != 1 || a.MTU < 68 || a.Macvlan.VLAN < 1 || a.Macvlan.VLAN > 4094 {
			t.Fatalf("accepted %+v", a)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var read Attachment
		if err := json.Unmarshal(text, &read); err != nil || read.Addresses[0] != a.Addresses[0] || read.Routes[0] != a.Routes[0] {
			t.Fatalf("%+v became %+v, %v in the ledger", a, read, err)
		}
	})
}
