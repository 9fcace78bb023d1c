package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/deviceattribute"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// MatchingNodes returns the names of the nodes whose slices have a device that DeviceClass would select.
func MatchingNodes(network *v1alpha1.Network, slices []resourcev1.ResourceSlice) map[string]bool {
	nodes, tests := map[string]bool{}, deviceTests(network)
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

// matches is deviceExpression in Go, with the deviceTests of the Network.
func matches(network *v1alpha1.Network, tests []attributeTest, device resourcev1.Device) bool {
	kind := v1alpha1.DeviceKind(text(device, v1alpha1.DeviceAttributeKind))
	return slices.Contains(kindsOf(network), kind) && hasTopology(network, device) && matchesPlugins(network, device) && matchesTests(network, tests, device)
}

// uplinkTests are those of a selector of NICs; none where the Network has none.
func uplinkTests(network *v1alpha1.Network) (tests []attributeTest) {
	uplink := uplinkOf(network)
	if len(uplink.Names) > 0 {
		tests = append(tests, isText(v1alpha1.DeviceAttributeInterface, uplink.Names...))
	}
	if len(uplink.MACs) > 0 {
		tests = append(tests, isText(v1alpha1.DeviceAttributeMAC, uplink.MACs...))
	}
	if len(uplink.PCIAddresses) > 0 {
		domain, name, _ := strings.Cut(string(deviceattribute.StandardDeviceAttributePCIBusID), "/")
		tests = append(tests, isTextOf(domain, name, uplink.PCIAddresses))
	}
	if uplink.Driver != "" {
		driver := isText(v1alpha1.DeviceAttributeDriver, uplink.Driver)
		driver.condition = "== " + strconv.Quote(uplink.Driver)
		tests = append(tests, driver)
	}
	if uplink.MinLinkSpeed != nil {
		tests = append(tests, isAtLeast(v1alpha1.DeviceAttributeLinkSpeed, uplink.MinLinkSpeed))
	}
	return tests
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
