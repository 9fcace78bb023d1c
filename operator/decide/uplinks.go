package decide

import (
	"fmt"
	"net/netip"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// MatchingNodes counts the nodes whose slices have a device that DeviceClass would select.
func MatchingNodes(network *v1alpha1.Network, slices []resourcev1.ResourceSlice) int32 {
	nodes := map[string]bool{}
	for _, slice := range slices {
		if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil || nodes[*slice.Spec.NodeName] {
			continue
		}
		for _, device := range slice.Spec.Devices {
			if matches(uplinkOf(network), device) {
				nodes[*slice.Spec.NodeName] = true
				break
			}
		}
	}
	return int32(len(nodes))
}

// matches is deviceExpression in Go.
func matches(uplink v1alpha1.UplinkSelector, device resourcev1.Device) bool {
	if text(device, v1alpha1.DeviceAttributeKind) != string(v1alpha1.DeviceKindUplink) {
		return false
	}
	if len(uplink.Names) > 0 && !slices.Contains(uplink.Names, v1alpha1.InterfaceName(text(device, v1alpha1.DeviceAttributeInterface))) {
		return false
	}
	if uplink.Driver != "" && text(device, v1alpha1.DeviceAttributeDriver) != uplink.Driver {
		return false
	}
	if uplink.MinLinkSpeed == nil {
		return true
	}
	speed := attribute(device, v1alpha1.DeviceAttributeLinkSpeed).IntValue
	return speed != nil && *speed >= uplink.MinLinkSpeed.Value()
}

func text(device resourcev1.Device, name string) string {
	if value := attribute(device, name).StringValue; value != nil {
		return *value
	}
	return ""
}

// attribute finds a name with and without our domain: in our driver's slices both mean the same.
func attribute(device resourcev1.Device, name string) resourcev1.DeviceAttribute {
	if a, ok := device.Attributes[resourcev1.QualifiedName(name)]; ok {
		return a
	}
	return device.Attributes[resourcev1.QualifiedName(v1alpha1.DriverName+"/"+name)]
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
	if a.Spec.Macvlan == nil || b.Spec.Macvlan == nil || vlan(a) != vlan(b) {
		return false
	}
	return slices.ContainsFunc(a.Spec.Macvlan.Uplink.Names, func(n v1alpha1.InterfaceName) bool {
		return slices.Contains(b.Spec.Macvlan.Uplink.Names, n)
	})
}

func vlan(n *v1alpha1.Network) int32 {
	if n.Spec.Macvlan.VLAN == nil {
		return 0
	}
	return *n.Spec.Macvlan.VLAN
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
