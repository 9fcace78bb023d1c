package plan

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const (
	megabit    = 1_000_000
	maxTxRate  = 1<<32 - 1
	maxVLANQoS = 7
)

// vf is the VF that the scheduler chose, with what the Network asks of it.
func (b *builder) vf(spec *v1alpha1.SRIOVSpec, class *v1alpha1.ResolvedQoS, device Device) *VF {
	if spec == nil {
		b.check(false, "spec.sriov", "", "is missing")
		return nil
	}
	b.check(device.PF != "" && device.PCIAddress != "", "device", device.Name, "is not a virtual function")
	vf := &VF{
		PCIAddress: device.PCIAddress, PF: device.PF, Index: device.VFIndex,
		VFIO: spec.DeviceType == v1alpha1.VFDeviceTypeVFIO, RDMA: spec.RDMA,
		Settings: VFSettings{
			VLANProto: string(spec.VLANProto), SpoofCheck: spec.SpoofCheck, Trust: spec.Trust, LinkState: strings.ToLower(string(spec.LinkState)),
			MinTxRate: b.rate("spec.sriov.minTxRate", spec.MinTxRate), MaxTxRate: b.rate("spec.sriov.maxTxRate", spec.MaxTxRate),
		},
	}
	b.check(!vf.RDMA || !vf.VFIO, "spec.sriov.rdma", "true", "cannot be had with deviceType VFIO")
	b.check(!vf.RDMA || device.RDMADevice != "", "spec.sriov.rdma", "true", "device "+device.Name+" has no RDMA device")
	if spec.VLAN != nil {
		vlan := b.vlan("spec.sriov.vlan", spec.VLAN)
		vf.Settings.VLAN = &vlan
	}
	if spec.VLANQoS != nil {
		qos := int(*spec.VLANQoS)
		b.check(qos >= 0 && qos <= maxVLANQoS, "spec.sriov.vlanQoS", fmt.Sprint(qos), "is not between 0 and 7")
		b.check(spec.VLAN != nil, "spec.sriov.vlanQoS", fmt.Sprint(qos), "needs a vlan")
		vf.Settings.VLANQoS = &qos
	}
	vf.QoS = VFQoSFrom(class, vf.Settings)
	return vf
}

// rate is in Mbit/s, as the kernel has it.
func (b *builder) rate(field string, quantity *resource.Quantity) *int {
	if quantity == nil {
		return nil
	}
	bits := quantity.Value()
	b.check(bits > 0 && bits%megabit == 0 && bits/megabit <= maxTxRate, field, quantity.String(), "is not a whole number of Mbit/s")
	rate := int(bits / megabit)
	return &rate
}
