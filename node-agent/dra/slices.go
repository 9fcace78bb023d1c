package dra

import (
	"fmt"
	"slices"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/deviceattribute"
	"k8s.io/dynamic-resource-allocation/resourceslice"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
)

// TaintDirty keeps pods away from a VF or NIC that is not clean, or that somebody has of whom the node agent does not know. Its value
// tells what is wrong.
const TaintDirty = v1alpha1.GroupName + "/dirty"

// Attributes by which Multus finds the device of a claim.
const (
	multusDeviceID     = "k8s.cni.cncf.io/deviceID"
	multusResourceName = "k8s.cni.cncf.io/resourceName"
)

// resources is what the scheduler gets to know: one pool of the node's name, one device for each NIC and one for the
// overlay, which any number of pods share, and one for each VF.
func resources(node string, n Node) resourceslice.DriverResources {
	if len(n.Devices) == 0 {
		return resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{node: {Slices: []resourceslice.Slice{{}}}}}
	}
	pool := resourceslice.Pool{}
	// A slice with tainted devices may hold no more than that.
	for chunk := range slices.Chunk(n.Devices, resourceapi.ResourceSliceMaxDevicesWithAdvancedFeatures) {
		slice := resourceslice.Slice{Devices: make([]resourceapi.Device, 0, len(chunk))}
		for _, d := range chunk {
			slice.Devices = append(slice.Devices, withDirt(device(d, n.Topology), n.Dirty[d.Lent()]))
		}
		pool.Slices = append(pool.Slices, slice)
	}
	return resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{node: pool}}
}

func device(i inventory.Device, topology map[string]string) resourceapi.Device {
	d := resourceapi.Device{Name: i.Name, Attributes: attributes(i, topology)}
	if i.Kind != v1alpha1.DeviceKindVF {
		shared := true
		d.AllowMultipleAllocations = &shared
	}
	// A NIC's bandwidth is offered once, however many ways lead to it.
	if i.Kind == v1alpha1.DeviceKindUplink || i.Kind == v1alpha1.DeviceKindNIC {
		d.Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
			v1alpha1.DeviceCapacityBandwidth: bandwidth(i.Promised), v1alpha1.DeviceCapacityIngress: bandwidth(i.Promised),
		}
	}
	switch i.Kind {
	case v1alpha1.DeviceKindUplink:
		d.Capacity[v1alpha1.DeviceCapacityLinks] = links()
	case v1alpha1.DeviceKindVF:
		// For claims that ask for all of a NIC, whichever it is. Nobody shares a VF.
		d.Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
			v1alpha1.DeviceCapacityLinks: {Value: *resource.NewQuantity(v1alpha1.WholeUplink, resource.DecimalSI)},
		}
	}
	if !i.Carrier {
		d.Taints = []resourceapi.DeviceTaint{{Key: v1alpha1.DeviceTaintNoCarrier, Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	return d
}

func withDirt(d resourceapi.Device, reason string) resourceapi.Device {
	if reason != "" {
		d.Taints = append(d.Taints, resourceapi.DeviceTaint{Key: TaintDirty, Value: reason, Effect: resourceapi.DeviceTaintEffectNoSchedule})
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

// links has each claim consume one, and lets a claim ask for all: then the uplink is nobody else's.
func links() resourceapi.DeviceCapacity {
	one := resource.MustParse("1")
	return resourceapi.DeviceCapacity{
		Value:         *resource.NewQuantity(v1alpha1.WholeUplink, resource.DecimalSI),
		RequestPolicy: &resourceapi.CapacityRequestPolicy{Default: &one, ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: &one}},
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
	if i.Kind == v1alpha1.DeviceKindCNI {
		return plugins(i)
	}
	for key, value := range topology {
		text(topologyAttribute(key), value)
	}
	text(v1alpha1.DeviceAttributeKind, string(i.Kind))
	text(v1alpha1.DeviceAttributeInterface, i.Interface)
	text(v1alpha1.DeviceAttributeNIC, i.NIC())
	text(v1alpha1.DeviceAttributeDriver, i.Driver)
	text(v1alpha1.DeviceAttributeVendor, i.Vendor)
	text(v1alpha1.DeviceAttributePF, i.PF)
	text(v1alpha1.DeviceAttributeDevice, i.DeviceID)
	text(v1alpha1.DeviceAttributeRDMADevice, i.RDMADevice)
	text(v1alpha1.DeviceAttributeMAC, fmt.Sprint(i.MAC))
	text(deviceattribute.StandardDeviceAttributePCIeRoot, i.PCIeRoot)
	text(deviceattribute.StandardDeviceAttributePCIBusID, i.PCIAddress)
	if i.Kind == v1alpha1.DeviceKindVF {
		index := int64(i.VFIndex)
		out[v1alpha1.DeviceAttributeVFIndex] = resourceapi.DeviceAttribute{IntValue: &index}
		out[v1alpha1.DeviceAttributeCarrier] = resourceapi.DeviceAttribute{BoolValue: &i.Carrier}
		text(multusDeviceID, i.PCIAddress)
		text(multusResourceName, v1alpha1.DriverName+"/"+i.PF)
	}
	if i.LinkSpeed > 0 {
		out[v1alpha1.DeviceAttributeLinkSpeed] = resourceapi.DeviceAttribute{IntValue: &i.LinkSpeed}
	}
	if i.NUMANode != nil {
		numa := int64(*i.NUMANode)
		out[deviceattribute.StandardDeviceAttributeNUMANode] = resourceapi.DeviceAttribute{IntValue: &numa}
	}
	return out
}

// plugins leaves no room for where the node is.
func plugins(i inventory.Device) map[resourceapi.QualifiedName]resourceapi.DeviceAttribute {
	kind, there := string(i.Kind), true
	out := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{v1alpha1.DeviceAttributeKind: {StringValue: &kind}}
	for _, plugin := range i.Plugins {
		out[resourceapi.QualifiedName(v1alpha1.CNIPluginDomain+"/"+v1alpha1.CNIPluginAttribute(plugin))] = resourceapi.DeviceAttribute{BoolValue: &there}
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
