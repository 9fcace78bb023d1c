package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/deviceattribute"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// MatchingNodes returns the names of the nodes whose slices have a device that DeviceClass would select.
func MatchingNodes(network *v1alpha1.Network, slices []resourcev1.ResourceSlice) map[string]bool {
	nodes, tests := map[string]bool{}, vfTests(network)
	for _, slice := range slices {
		if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil || nodes[*slice.Spec.NodeName] {
			continue
		}
		for _, device := range slice.Spec.Devices {
			if matches(network, tests, device) {
				nodes[*slice.Spec.NodeName] = true
				break
			}
		}
	}
	return nodes
}

// matches is deviceExpression in Go, with the vfTests of the Network.
func matches(network *v1alpha1.Network, tests []attributeTest, device resourcev1.Device) bool {
	kind := v1alpha1.DeviceKind(text(device, v1alpha1.DeviceAttributeKind))
	if !slices.Contains(kindsOf(network), kind) || !hasTopology(network, device) {
		return false
	}
	if !matchesVF(network, tests, device) || !matchesPlugins(network, device) {
		return false
	}
	uplink := uplinkOf(network)
	if len(uplink.Names) > 0 && !slices.Contains(uplink.Names, v1alpha1.InterfaceName(text(device, v1alpha1.DeviceAttributeInterface))) {
		return false
	}
	if len(uplink.MACs) > 0 && !slices.Contains(uplink.MACs, text(device, v1alpha1.DeviceAttributeMAC)) {
		return false
	}
	if len(uplink.PCIAddresses) > 0 && !slices.Contains(uplink.PCIAddresses, pciAddress(device)) {
		return false
	}
	if uplink.Driver != "" && text(device, v1alpha1.DeviceAttributeDriver) != uplink.Driver {
		return false
	}
	if uplink.MinLinkSpeed == nil {
		return true
	}
	speed, found := attribute(device, v1alpha1.DriverName, v1alpha1.DeviceAttributeLinkSpeed)
	return found && speed.IntValue != nil && *speed.IntValue >= uplink.MinLinkSpeed.Value()
}

func hasTopology(network *v1alpha1.Network, device resourcev1.Device) bool {
	key := TopologyKey(network)
	if key == "" {
		return true
	}
	domain, name := v1alpha1.TopologyAttribute(key)
	_, found := attribute(device, domain, name)
	return found
}

func text(device resourcev1.Device, name string) string {
	if a, ok := attribute(device, v1alpha1.DriverName, name); ok && a.StringValue != nil {
		return *a.StringValue
	}
	return ""
}

func pciAddress(device resourcev1.Device) string {
	domain, name, _ := strings.Cut(string(deviceattribute.StandardDeviceAttributePCIBusID), "/")
	if a, ok := attribute(device, domain, name); ok && a.StringValue != nil {
		return *a.StringValue
	}
	return ""
}

// attribute finds a name of our own domain also where it stands without: in our driver's slices both mean the same.
func attribute(device resourcev1.Device, domain, name string) (resourcev1.DeviceAttribute, bool) {
	a, found := device.Attributes[resourcev1.QualifiedName(domain+"/"+name)]
	if !found && domain == v1alpha1.DriverName {
		a, found = device.Attributes[resourcev1.QualifiedName(name)]
	}
	return a, found
}

// Overlaps describes the ranges that a Network shares with others on one segment: an uplink name in common
// and the same VLAN. Their pods would get each other's addresses. Networks that select uplinks without names
// are not compared, since nothing says that they meet.
func Overlaps(network *v1alpha1.Network, others []v1alpha1.Network) []string {
	var found []string
	for i := range others {
		other := &others[i]
		if other.Name == network.Name || !sameSegment(network, other) {
			continue
		}
		for _, mine := range prefixes(network) {
			for _, theirs := range prefixes(other) {
				if mine.Overlaps(theirs) {
					found = append(found, fmt.Sprintf("range %s overlaps %s of Network %q on the same uplink and VLAN", mine, theirs, other.Name))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

func sameSegment(a, b *v1alpha1.Network) bool {
	if kindOf(a) != v1alpha1.DeviceKindUplink || kindOf(b) != v1alpha1.DeviceKindUplink || vlan(a) != vlan(b) {
		return false
	}
	return slices.ContainsFunc(uplinkOf(a).Names, func(n v1alpha1.InterfaceName) bool {
		return slices.Contains(uplinkOf(b).Names, n)
	})
}

// vlan is 0 for untagged.
func vlan(n *v1alpha1.Network) int32 {
	var id *int32
	switch spec := &n.Spec; {
	case spec.Macvlan != nil:
		id = spec.Macvlan.VLAN
	case spec.RackLocal != nil && spec.RackLocal.Uplink != nil:
		id = spec.RackLocal.Uplink.VLAN
	}
	if id == nil {
		return 0
	}
	return *id
}

func prefixes(n *v1alpha1.Network) []netip.Prefix {
	var all []netip.Prefix
	if n.Spec.IPAM == nil {
		return nil
	}
	for _, r := range n.Spec.IPAM.Ranges {
		if p, err := netip.ParsePrefix(r.CIDR); err == nil {
			all = append(all, p)
		}
	}
	return all
}
