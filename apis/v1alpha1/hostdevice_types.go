package v1alpha1

// HostDeviceSpec configures a Network of type HostDevice: a NIC of the node is moved into the pod, which has it alone, and comes back
// when the pod goes. Only NICs that node agents publish are given, and none that the node itself uses: one with addresses of the
// node's, with virtual functions, or under another link is refused when the pod is prepared.
type HostDeviceSpec struct {
	// nic selects the NICs of each node. Nodes without one are not offered to pods of this Network, and a pod waits until
	// nothing else uses the NIC. The interface keeps the MAC of the NIC, unless the pod asks for another. With pciAddresses a
	// virtual function that has the address is a NIC, too: it is given as it is, without the settings that type SRIOV has.
	// +required
	NIC UplinkSelector `json:"nic"`
}
