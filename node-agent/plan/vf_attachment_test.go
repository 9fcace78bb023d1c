package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func vfDevice() Device {
	return Device{Name: "vf-0000-01-10-0", PCIAddress: "0000:01:10.0", PF: "ens9", VFIndex: 3}
}

func vfOrder(change func(*v1alpha1.SRIOVSpec)) *v1alpha1.PodNetworkAttachment {
	spec := &v1alpha1.SRIOVSpec{SpoofCheck: ptr(true), Trust: ptr(false)}
	change(spec)
	return &v1alpha1.PodNetworkAttachment{Spec: v1alpha1.PodNetworkAttachmentSpec{
		NetworkName: "fast", Interface: "net1", MAC: "02:00:00:00:00:07", Type: v1alpha1.NetworkTypeSRIOV, SRIOV: spec,
	}}
}

func TestVFPlan(t *testing.T) {
	pna := vfOrder(func(s *v1alpha1.SRIOVSpec) {
		s.VLAN, s.VLANQoS, s.VLANProto, s.LinkState = ptr(int32(100)), ptr(int32(5)), "802.1ad", "Enable"
		s.MinTxRate, s.MaxTxRate = ptr(resource.MustParse("100M")), ptr(resource.MustParse("1G"))
	})
	got, err := FromAttachment(pna, vfDevice(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &VF{PCIAddress: "0000:01:10.0", PF: "ens9", Index: 3, Settings: VFSettings{
		VLAN: ptr(100), VLANQoS: ptr(5), VLANProto: "802.1ad", SpoofCheck: ptr(true), Trust: ptr(false), LinkState: "enable",
		MinTxRate: ptr(100), MaxTxRate: ptr(1000),
	}}
	if diff := cmp.Diff(want, got.VF); diff != "" {
		t.Errorf("VF differs (-want +got):\n%s", diff)
	}
	if got.Macvlan != nil || got.Overlay != nil {
		t.Errorf("a VF is no link of ours: %+v", got)
	}
}

func TestVFRefused(t *testing.T) {
	none := func(*v1alpha1.SRIOVSpec) {}
	for name, c := range map[string]struct {
		change func(*v1alpha1.SRIOVSpec)
		device Device
		want   string
	}{
		"a NIC":            {none, Device{Name: "uplink-eth1", Uplink: "eth1"}, `device "uplink-eth1": is not a virtual function`},
		"part of a Mbit/s": {func(s *v1alpha1.SRIOVSpec) { s.MaxTxRate = ptr(resource.MustParse("1500k")) }, vfDevice(), "is not a whole number of Mbit/s"},
		"vlan":             {func(s *v1alpha1.SRIOVSpec) { s.VLAN = ptr(int32(4095)) }, vfDevice(), "is not between 1 and 4094"},
		"vlanQoS":          {func(s *v1alpha1.SRIOVSpec) { s.VLAN, s.VLANQoS = ptr(int32(1)), ptr(int32(8)) }, vfDevice(), "is not between 0 and 7"},
		"vlanQoS alone":    {func(s *v1alpha1.SRIOVSpec) { s.VLANQoS = ptr(int32(2)) }, vfDevice(), "needs a vlan"},
		"rdma":             {func(s *v1alpha1.SRIOVSpec) { s.RDMA = true }, vfDevice(), "has no RDMA device"},
		"rdma with vfio": {func(s *v1alpha1.SRIOVSpec) { s.RDMA, s.DeviceType = true, v1alpha1.VFDeviceTypeVFIO }, vfDevice(),
			"cannot be had with deviceType VFIO"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromAttachment(vfOrder(c.change), c.device, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	pna := vfOrder(none)
	pna.Spec.SRIOV = nil
	if _, err := FromAttachment(pna, vfDevice(), nil); err == nil || !strings.Contains(err.Error(), "spec.sriov") {
		t.Errorf("error %v, want one about spec.sriov", err)
	}
}
