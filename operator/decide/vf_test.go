package decide

import (
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/cel"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func ptr[T any](v T) *T { return &v }

func vfNetwork(change func(*v1alpha1.SRIOVSpec)) *v1alpha1.Network {
	n := &v1alpha1.Network{Spec: v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeSRIOV, SRIOV: &v1alpha1.SRIOVSpec{}}}
	n.Name = "fast"
	change(n.Spec.SRIOV)
	return n
}

func vfOf(change func(map[resourcev1.QualifiedName]resourcev1.DeviceAttribute)) resourcev1.Device {
	text := func(s string) resourcev1.DeviceAttribute { return resourcev1.DeviceAttribute{StringValue: &s} }
	number := func(n int64) resourcev1.DeviceAttribute { return resourcev1.DeviceAttribute{IntValue: &n} }
	attributes := map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
		"kind": text("VF"), "pf": text("ens9"), "vendor": text("0x8086"), "device": text("0x10ca"), "driver": text("igb"), "linkSpeed": number(1e9),
		"vfIndex": number(3), "resource.kubernetes.io/numaNode": number(1),
	}
	change(attributes)
	return resourcev1.Device{Name: "vf", Attributes: attributes}
}

// TestVFSelection asks the scheduler's own CEL about each device as well: a Network that counts a node which the scheduler does
// not take, or the other way round, would be a lie.
func TestVFSelection(t *testing.T) {
	type attributes = map[resourcev1.QualifiedName]resourcev1.DeviceAttribute
	without := func(names ...resourcev1.QualifiedName) func(attributes) {
		return func(a attributes) {
			for _, name := range names {
				delete(a, name)
			}
		}
	}
	same := func(attributes) {}
	cases := map[string]struct {
		network func(*v1alpha1.SRIOVSpec)
		device  func(attributes)
		want    bool
	}{
		"all fields": {func(s *v1alpha1.SRIOVSpec) {
			s.Device = v1alpha1.VFSelector{
				PFNames: []v1alpha1.InterfaceName{"ens1", "ens9"}, Vendor: "0x8086", Device: "0x10ca", Driver: "igb",
				MinLinkSpeed: ptr(resource.MustParse("1G")), NUMANode: ptr(int32(1)), Expression: `device.attributes["multinet.dev"].vfIndex < 4`,
			}
		}, same, true},
		"other PF":       {func(s *v1alpha1.SRIOVSpec) { s.Device.PFNames = []v1alpha1.InterfaceName{"ens1"} }, same, false},
		"other vendor":   {func(s *v1alpha1.SRIOVSpec) { s.Device.Vendor = "0x15b3" }, same, false},
		"too slow":       {func(s *v1alpha1.SRIOVSpec) { s.Device.MinLinkSpeed = ptr(resource.MustParse("10G")) }, same, false},
		"unknown speed":  {func(s *v1alpha1.SRIOVSpec) { s.Device.MinLinkSpeed = ptr(resource.MustParse("1G")) }, without("linkSpeed"), false},
		"other node":     {func(s *v1alpha1.SRIOVSpec) { s.Device.NUMANode = ptr(int32(0)) }, same, false},
		"no node":        {func(s *v1alpha1.SRIOVSpec) { s.Device.NUMANode = ptr(int32(0)) }, without("resource.kubernetes.io/numaNode"), false},
		"a NIC":          {func(s *v1alpha1.SRIOVSpec) { s.Device.Vendor = "0x8086" }, func(a attributes) { a["kind"] = resourcev1.DeviceAttribute{StringValue: ptr("Uplink")} }, false},
		"expression, no": {func(s *v1alpha1.SRIOVSpec) { s.Device.Expression = `device.attributes["multinet.dev"].vfIndex > 4` }, same, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			network, device := vfNetwork(c.network), vfOf(c.device)
			wantDevice(t, network, device, c.want)
		})
	}
}

// wantDevice tells whether a device is one of the Network's, as the operator counts it and as the scheduler evaluates its DeviceClass.
func wantDevice(t *testing.T, network *v1alpha1.Network, device resourcev1.Device, want bool) {
	t.Helper()
	if got := matches(network, deviceTests(network), device); got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
	expression := DeviceClass(network).Spec.Selectors[0].CEL.Expression
	compiled := cel.GetCompiler(cel.Features{}).CompileCELExpression(expression, cel.Options{})
	if compiled.Error != nil {
		t.Fatalf("%s: %v", expression, compiled.Error)
	}
	got, _, err := compiled.DeviceMatches(t.Context(), cel.Device{Driver: v1alpha1.DriverName, Attributes: device.Attributes})
	if err != nil || got != want {
		t.Errorf("%s: the scheduler says %v, %v, want %v", expression, got, err, want)
	}
}

func TestCheckVF(t *testing.T) {
	for want, change := range map[string]func(*v1alpha1.Network){
		"":                              func(*v1alpha1.Network) {},
		"spec.sriov.device.expression:": func(n *v1alpha1.Network) { n.Spec.SRIOV.Device.Expression = "device.attributes[" },
		"spec.sriov.maxTxRate 1500k is not a whole number of Mbit/s": func(n *v1alpha1.Network) { n.Spec.SRIOV.MaxTxRate = ptr(resource.MustParse("1500k")) },
		"spec.routes cannot be had with spec.sriov.deviceType VFIO": func(n *v1alpha1.Network) {
			n.Spec.SRIOV.DeviceType = v1alpha1.VFDeviceTypeVFIO
			n.Spec.IPAM = &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: "10.20.0.0/24"}}}
			n.Spec.Routes = []v1alpha1.Route{{To: "10.9.0.0/16"}}
		},
		"spec.sriov is missing": func(n *v1alpha1.Network) { n.Spec.SRIOV = nil },
	} {
		network := vfNetwork(func(s *v1alpha1.SRIOVSpec) { s.Device.Vendor = "0x8086" })
		change(network)
		err := CheckNetwork(network)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
