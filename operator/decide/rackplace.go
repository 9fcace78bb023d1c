package decide

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TopologyKey is the node label that names the racks of a rack-local Network, "" for other types.
func TopologyKey(network *v1alpha1.Network) string {
	rack := network.Spec.RackLocal
	switch {
	case network.Spec.Type != v1alpha1.NetworkTypeRackLocal || rack == nil:
		return ""
	case rack.TopologyKey == "":
		return v1alpha1.DefaultTopologyKey
	}
	return rack.TopologyKey
}

// NodeRacks returns the rack of each node, "" for one that is in none.
func NodeRacks(network *v1alpha1.Network, nodes []corev1.Node) map[string]string {
	racks := map[string]string{}
	key := TopologyKey(network)
	for i := range nodes {
		racks[nodes[i].Name] = nodes[i].Labels[key]
	}
	return racks
}

// RackNodes counts the nodes of each rack that have a device for the Network.
func RackNodes(nodeRacks map[string]string, matching map[string]bool) map[string]int32 {
	counts := map[string]int32{}
	for node := range matching {
		if rack := nodeRacks[node]; rack != "" {
			counts[rack]++
		}
	}
	return counts
}

// AttachmentRack is the part of an attachment that says where in the Network its pod is, without the VNI; nil where the
// Network has no racks. node is that of the pod, nil if it does not exist.
func AttachmentRack(network *v1alpha1.Network, node *corev1.Node) (*v1alpha1.AttachmentRack, *Refusal) {
	key := TopologyKey(network)
	if key == "" {
		return nil, nil
	}
	if node == nil {
		return nil, &Refusal{v1alpha1.ReasonNodeWithoutRack, "the node of the pod does not exist; delete the pod, so that it is scheduled again"}
	}
	if node.Labels[key] == "" {
		return nil, &Refusal{v1alpha1.ReasonNodeWithoutRack, fmt.Sprintf(
			"network %q has no rack for node %q, which has no label %s; label the node, or delete the pod, so that it is scheduled again",
			network.Name, node.Name, key)}
	}
	rack := &v1alpha1.AttachmentRack{Rack: node.Labels[key], Uplink: network.Spec.RackLocal.Uplink.DeepCopy()}
	overlay := network.Spec.RackLocal.Overlay
	if overlay == nil {
		return rack, nil
	}
	address, ok := nodeAddress(node)
	if !ok {
		return nil, &Refusal{v1alpha1.ReasonNodeWithoutRack, fmt.Sprintf(
			"node %q has no address of type InternalIP in its status, to which the overlay of network %q could send", node.Name, network.Name)}
	}
	rack.Overlay = &v1alpha1.AttachmentOverlay{Port: overlay.Port, NodeAddress: address.String()}
	return rack, nil
}

// nodeAddress is the first of type InternalIP, as the agents take it too.
func nodeAddress(node *corev1.Node) (netip.Addr, bool) {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			addr, err := netip.ParseAddr(a.Address)
			return addr, err == nil
		}
	}
	return netip.Addr{}, false
}
