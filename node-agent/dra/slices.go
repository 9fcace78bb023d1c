package dra

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/deviceattribute"
	"k8s.io/dynamic-resource-allocation/resourceslice"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
)

// TaintNoCarrier keeps new pods away from a NIC without a carrier. Pods that use it stay.
const TaintNoCarrier = v1alpha1.GroupName + "/no-carrier"

// resources is what the scheduler gets to know: one pool of the node's name, one device for each NIC and one for the
// overlay, which any number of pods share.
func resources(node string, n Node) resourceslice.DriverResources {
	slice := resourceslice.Slice{Devices: make([]resourceapi.Device, 0, len(n.Devices))}
	for _, d := range n.Devices {
		slice.Devices = append(slice.Devices, device(d, n.Topology))
	}
	return resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{
		node: {Slices: []resourceslice.Slice{slice}},
	}}
}

func device(i inventory.Device, topology map[string]string) resourceapi.Device {
	shared := true
	d := resourceapi.Device{
		Name: i.Name, AllowMultipleAllocations: &shared, Attributes: attributes(i, topology),
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
			v1alpha1.DeviceCapacityBandwidth: bandwidth(i.Bandwidth),
		},
	}
	if !i.Carrier {
		d.Taints = []resourceapi.DeviceTaint{{Key: TaintNoCarrier, Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	return d
}

// bandwidth is what guarantees are taken from. A claim that asks for none consumes none: without a policy it would
// consume all of it.
func bandwidth(bits int64) resourceapi.DeviceCapacity {
	zero := resource.MustParse("0")
	return resourceapi.DeviceCapacity{
		Value: *resource.NewQuantity(bits, resource.DecimalSI),
		RequestPolicy: &resourceapi.CapacityRequestPolicy{
			Default:    &zero,
			ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: &zero},
		},
	}
}

// attributes tells what the device is and where its node is. No topology key can hide the former: ParseConfig refuses
// keys of the same domains.
func attributes(i inventory.Device, topology map[string]string) map[resourceapi.QualifiedName]resourceapi.DeviceAttribute {
	out := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{}
	text := func(name resourceapi.QualifiedName, value string) {
		if value != "" && value != "<nil>" {
			out[name] = resourceapi.DeviceAttribute{StringValue: &value}
		}
	}
	for key, value := range topology {
		text(topologyAttribute(key), value)
	}
	text(v1alpha1.DeviceAttributeKind, string(i.Kind))
	text(v1alpha1.DeviceAttributeInterface, i.Interface)
	text(v1alpha1.DeviceAttributeDriver, i.Driver)
	text(v1alpha1.DeviceAttributeVendor, i.Vendor)
	text(v1alpha1.DeviceAttributeMAC, fmt.Sprint(i.MAC))
	text(deviceattribute.StandardDeviceAttributePCIeRoot, i.PCIeRoot)
	text(deviceattribute.StandardDeviceAttributePCIBusID, i.PCIAddress)
	if i.LinkSpeed > 0 {
		out[v1alpha1.DeviceAttributeLinkSpeed] = resourceapi.DeviceAttribute{IntValue: &i.LinkSpeed}
	}
	if i.NUMANode != nil {
		numa := int64(*i.NUMANode)
		out[deviceattribute.StandardDeviceAttributeNUMANode] = resourceapi.DeviceAttribute{IntValue: &numa}
	}
	return out
}

// topologyAttribute is the name of the attribute for a label. Those in the driver's own domain are published without it.
func topologyAttribute(key string) resourceapi.QualifiedName {
	domain, name := v1alpha1.TopologyAttribute(key)
	if domain == v1alpha1.DriverName {
		return resourceapi.QualifiedName(name)
	}
	return resourceapi.QualifiedName(domain + "/" + name)
}
