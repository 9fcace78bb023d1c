package v1alpha1

import "strings"

// DefaultTopologyKey is the node label whose value is the name of the node's rack.
const DefaultTopologyKey = "topology." + GroupName + "/rack"

// LabelSticky marks AddressClaims that the operator made for a Network with spec.ipam.sticky.
const LabelSticky = GroupName + "/sticky"

// Annotations, conditions and finalizers that pods, Networks and attachments carry. Reasons stand in conditions.go.
const (
	// AnnotationNetworks on a pod selects its networks: a comma list of network[@interface][:qosclass], or with
	// claim=entry/request in the place of network, or class=qosclass[@interface].
	AnnotationNetworks = GroupName + "/networks"

	// AnnotationAtCreation on a pod is the value of AnnotationNetworks that it was created with, empty for none. The admission
	// policy writes it when AnnotationNetworks changes for the first time, so it is there on pods that were edited and on no others.
	AnnotationAtCreation = GroupName + "/networks-at-creation"

	// AnnotationPodIPs on a pod lists its addresses: [{"networkName","interface","ip"}]. Written by the agent.
	AnnotationPodIPs = GroupName + "/pod-ips"

	// AnnotationNetworkStatus on a pod is the status of the Kubernetes Network Plumbing Working Group. Written by the agent.
	AnnotationNetworkStatus = "k8s.v1.cni.cncf.io/network-status"

	// AnnotationPlannedAt on a pod is set by the operator when a pod that had waited for a network got its
	// attachments: a change of an annotation is what makes the kubelet try again at once.
	AnnotationPlannedAt = GroupName + "/planned-at"

	// AnnotationLookAgainAt on a DeviceClass is set by the operator when the scheduler has refused a pod that there is room for: a
	// change of a DeviceClass is what makes it look at such pods again at once.
	AnnotationLookAgainAt = GroupName + "/look-again-at"

	// FinalizerInUse keeps a Network until no attachment is left, and a QoSClass until no attachment and no Network has it.
	FinalizerInUse = GroupName + "/in-use"

	// FinalizerRelease keeps a PodNetworkAttachment, and thereby its addresses, until the agent has
	// confirmed that nothing on the node uses them.
	FinalizerRelease = GroupName + "/release"
)

// DeviceTaintNoCarrier keeps new pods away from a NIC without a carrier. Pods that use it stay, and a pod that gets the NIC alone is
// the one to bring it up.
const DeviceTaintNoCarrier = GroupName + "/no-carrier"

// DriverName is the name of the DRA driver, of the ResourceSlices' driver and of device attributes' domain.
const DriverName = GroupName

// Device attributes and capacities in ResourceSlices, in the domain DriverName.
const (
	// DeviceAttributeKind is a DeviceKind.
	DeviceAttributeKind = "kind"
	// DeviceAttributeInterface is the interface name on the node.
	DeviceAttributeInterface = "interface"
	// DeviceAttributeDriver is the kernel driver.
	DeviceAttributeDriver = "driver"
	// DeviceAttributeVendor is the PCI vendor identifier.
	DeviceAttributeVendor = "vendor"
	// DeviceAttributeLinkSpeed is an integer in bit/s.
	DeviceAttributeLinkSpeed = "linkSpeed"
	// DeviceAttributeRack is the value of the node's label DefaultTopologyKey; see TopologyAttribute for other labels.
	DeviceAttributeRack = "rack"
	// DeviceAttributeMAC is the hardware address of the NIC.
	DeviceAttributeMAC = "mac"
	// DeviceAttributePF is the interface name of a VF's physical function.
	DeviceAttributePF = "pf"
	// DeviceAttributeVFIndex is the VF's number on its physical function.
	DeviceAttributeVFIndex = "vfIndex"
	// DeviceAttributeDevice is the PCI device identifier.
	DeviceAttributeDevice = "device"
	// DeviceAttributeCarrier tells whether the link is up and has a partner.
	DeviceAttributeCarrier = "carrier"
	// DeviceAttributeRDMADevice is the name of the VF's RDMA device.
	DeviceAttributeRDMADevice = "rdmaDevice"
	// DeviceAttributeNIC is the interface name of the NIC whose bandwidth the device uses: of a VF its physical function, of
	// an overlay the interface that has the node's address, of all others the device itself.
	DeviceAttributeNIC = "nic"
	// DeviceCapacityBandwidth is in bit/s and consumed by guaranteed egress bandwidth, DeviceCapacityIngress by guaranteed
	// ingress bandwidth. VFs and overlays have neither: their NIC has, see BandwidthClassName.
	DeviceCapacityBandwidth = "bandwidth"
	DeviceCapacityIngress   = "ingressBandwidth"
	// DeviceCapacityLinks is consumed by what uses an uplink, 1 of WholeUplink by each claim that says nothing of it. Who has all of
	// it has the uplink alone.
	DeviceCapacityLinks = "links"
)

// WholeUplink is how much an uplink has of DeviceCapacityLinks, and what a Network of mode Passthru or type HostDevice asks for. It is more than a link of
// the kernel has macvlan links, so that it limits nothing else. Agents and operators of different versions have to agree on it.
const WholeUplink = 1 << 16

// BandwidthClassName is the DeviceClass of the devices that have bandwidth: one for each NIC. No Network has a dot in its name.
const BandwidthClassName = "nic.bandwidth." + GroupName

// DeviceClassName is the name of the DeviceClass that the operator compiles a Network to.
func DeviceClassName(network string) string { return network + "." + GroupName }

// NetworkOfDeviceClass undoes DeviceClassName. It is "" for DeviceClasses that are not a Network's.
func NetworkOfDeviceClass(class string) string {
	network, ok := strings.CutSuffix(class, "."+GroupName)
	if !ok || strings.Contains(network, ".") {
		return ""
	}
	return network
}

// ClaimTemplateName is the name of the ResourceClaimTemplate for a Network and the QoS class that the pod's
// selection names; the class is empty for the Network's default. The admission policy builds the same name in CEL.
func ClaimTemplateName(network, qosClass string) string {
	if qosClass == "" {
		return network + "." + GroupName
	}
	return network + "." + qosClass + "." + GroupName
}

// ClassTemplateName is the name of the ResourceClaimTemplate for the Networks that have a QoS class. That of a Network has at
// most one dot before the group's name. The admission policy builds the same name in CEL.
func ClassTemplateName(qosClass string) string { return "cheapest.class." + qosClass + "." + GroupName }

// TopologyAttribute is the device attribute that carries the value of a topology label, as domain and name. A label's name
// may hold '-' and '.', that of an attribute may not: they become '_'.
func TopologyAttribute(topologyKey string) (domain, name string) {
	if topologyKey == DefaultTopologyKey {
		return DriverName, DeviceAttributeRack
	}
	domain, name, _ = strings.Cut(topologyKey, "/")
	return domain, strings.NewReplacer("-", "_", ".", "_").Replace(name)
}

// PodClaimPrefix starts the names of the entries in a pod's spec.resourceClaims that the admission policy adds.
// The whole name is PodClaimPrefix + network + "-" + n, where n counts the selections of that network in the pod
// from 0. The number is always there, so that a network named "a-0" and the second selection of "a" differ. Where a class is
// selected and no network, "-" + class is in the place of network.
const PodClaimPrefix = "multinet-"
