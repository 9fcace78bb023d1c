package v1alpha1

// Conditions of a Network.
const (
	// NetworkConditionAccepted tells whether the spec can be honoured.
	NetworkConditionAccepted = "Accepted"
	// NetworkConditionReady tells whether pods can be attached now.
	NetworkConditionReady = "Ready"
	// NetworkConditionAddressConflict is there, and True, while a range overlaps that of another Network on the
	// same uplink and VLAN. It is a warning: Ready does not depend on it.
	NetworkConditionAddressConflict = "AddressConflict"
	// NetworkConditionRacksServed tells, for type RackLocal, whether every rack has what new pods need. Ready does not
	// depend on it, since the other racks work.
	NetworkConditionRacksServed = "RacksServed"
	// NetworkConditionNodeMoved is there, and True, while pods run in a rack that their node has left.
	NetworkConditionNodeMoved = "NodeMoved"
)

// Reasons of Network conditions.
const (
	ReasonValid             = "Valid"
	ReasonInvalidSpec       = "InvalidSpec"
	ReasonReady             = "Ready"
	ReasonQoSClassNotFound  = "QoSClassNotFound"
	ReasonNoUplink          = "NoUplink"
	ReasonRangeExhausted    = "RangeExhausted"
	ReasonRangeInUse        = "RangeInUse"
	ReasonAddressConflict   = "AddressConflict"
	ReasonDeviceClassFailed = "DeviceClassFailed"
	ReasonInUse             = "InUse"
	// Reasons of RacksServed and NodeMoved.
	ReasonAllRacks      = "AllRacks"
	ReasonOutOfPrefixes = "OutOfPrefixes"
	ReasonOutOfVNIs     = "OutOfVNIs"
	ReasonRackFull      = "RackFull"
	ReasonNodeMoved     = "NodeMoved"
)

// Conditions of a QoSClass.
const (
	// QoSClassConditionRolledOut tells whether every attachment of the class has its values.
	QoSClassConditionRolledOut = "RolledOut"
	// QoSClassConditionInUse is there, and True, while the class is being deleted and waits for those that use it.
	QoSClassConditionInUse = "InUse"
)

// Reasons of QoSClassConditionRolledOut.
const (
	ReasonRolledOut   = "RolledOut"
	ReasonRollingOut  = "RollingOut"
	ReasonRestartPods = "RestartPods"
)

// AddressClaimConditionReserved tells whether the addresses and the MAC are kept for the pod.
const AddressClaimConditionReserved = "Reserved"

// Reasons of AddressClaimConditionReserved, beside those of PodConditionPlanned that are about the Network.
const (
	ReasonReserved      = "Reserved"
	ReasonOutsideRanges = "OutsideRanges"
	ReasonAddressInUse  = "AddressInUse"
	ReasonMACInUse      = "MACInUse"
)

// Conditions of a PodNetworkAttachment.
const (
	// AttachmentConditionReady tells whether the interface is in the pod, up, with all addresses and routes.
	AttachmentConditionReady = "Ready"
	// AttachmentConditionQoSEnforced tells whether all of spec.qos is in force.
	AttachmentConditionQoSEnforced = "QoSEnforced"
)

// Reasons of PodNetworkAttachment conditions.
const (
	ReasonAttached         = "Attached"
	ReasonAttachFailed     = "AttachFailed"
	ReasonUplinkNotFound   = "UplinkNotFound"
	ReasonUplinkDown       = "UplinkDown"
	ReasonDuplicateAddress = "DuplicateAddress"

	// Reasons of QoSEnforced. The message names each knob of the class that is not in force.
	ReasonQoSEnforced = "Enforced"
	// ReasonQoSNotSupported: the data path, the driver, the kernel or the node's set-up cannot do it.
	ReasonQoSNotSupported = "QoSNotSupported"
	// ReasonForeignQdisc: somebody else shapes the uplink, and is left alone.
	ReasonForeignQdisc = "ForeignQdisc"
	// ReasonGuaranteesExceedUplink: the guarantees of all attachments of the uplink are more than it has.
	ReasonGuaranteesExceedUplink = "GuaranteesExceedUplink"
	// ReasonQoSFailed: the kernel refused it; the node agent tries again.
	ReasonQoSFailed = "QoSFailed"
)

// Reasons of events on a Node.
const (
	// ReasonVFNotClean: a VF is not what it was before a pod had it, or somebody uses it. No pod gets it.
	ReasonVFNotClean = "VirtualFunctionNotClean"
	// ReasonVFClean: it is again, and is offered to pods.
	ReasonVFClean = "VirtualFunctionClean"
	// ReasonNICNotClean: a NIC is not what it was before a pod had it. No pod gets it.
	ReasonNICNotClean = "NICNotClean"
	// ReasonNICClean: it is again, and is offered to pods.
	ReasonNICClean = "NICClean"
	// ReasonNICGone: a NIC has not come back from a pod, since it was pulled, or was no hardware and ended with the pod's namespace.
	ReasonNICGone = "NICGone"
)

// Conditions of a Pod.
const (
	// PodConditionAttached is the readiness gate. Written by the agent alone.
	PodConditionAttached = GroupName + "/attached"
	// PodConditionPlanned is written by the operator alone, and only on pods that it could not plan at once:
	// False with a reason of the list below, True when the trouble is over.
	PodConditionPlanned = GroupName + "/planned"
)

// Reasons of PodConditionPlanned, which are also the reasons of the events on the pod.
const (
	ReasonPlanned            = "Planned"
	ReasonMalformedSelection = "MalformedSelection"
	// ReasonCannotHonour: the annotation of Multus asks for what a Network does not do.
	ReasonCannotHonour       = "CannotHonour"
	ReasonUnknownNetwork     = "UnknownNetwork"
	ReasonUnknownQoSClass    = "UnknownQoSClass"
	ReasonQoSClassNotAllowed = "QoSClassNotAllowed"
	ReasonQoSClassDeleting   = "QoSClassDeleting"
	ReasonNotAdmitted        = "NotAdmitted"
	ReasonNetworkNotAccepted = "NetworkNotAccepted"
	ReasonNetworkDeleting    = "NetworkDeleting"
	ReasonUnsupportedPod     = "UnsupportedPod"
	ReasonRouteConflict      = "RouteConflict"
	// ReasonDeviceNotRequested: the pod's containers request fewer devices of a device plugin than its networks need.
	ReasonDeviceNotRequested = "DeviceNotRequested"
	// ReasonNeedsScheduling: what was added to a running pod has to be set aside by the scheduler, which has placed the pod already.
	ReasonNeedsScheduling = "NeedsScheduling"
	// ReasonNotOnNode: the running pod's node does not offer the Network that was added.
	ReasonNotOnNode = "NotOnNode"
	// ReasonNodeWithoutRack: the pod's node has lost its topology label, or has no address for the overlay.
	ReasonNodeWithoutRack = "NodeWithoutRack"
	// ReasonRackNotServed: the Network has no prefix or no VNI left for the pod's rack.
	ReasonRackNotServed = "RackNotServed"
	// ReasonNoNode: no node that admits the pod has a device left for a Network that it selects, or none has all of them.
	ReasonNoNode = "NoNode"
	// ReasonInsufficientBandwidth: no node has as much bandwidth left as the pod's classes guarantee.
	ReasonInsufficientBandwidth = "InsufficientBandwidth"
	// ReasonAddressClaim: the addresses that an AddressClaim names for the pod cannot be given to it now.
	ReasonAddressClaim = "AddressClaim"
	// ReasonClassNotOffered: no Network that the pod may be on has the class that it selects.
	ReasonClassNotOffered = "ClassNotOffered"
	// ReasonClassUnavailable: none of the Networks that have the class has a place for the pod.
	ReasonClassUnavailable = "ClassUnavailable"
	// ReasonInvalidResourceClaim: the claim that the pod's user wrote asks for what no attachment can be made of.
	ReasonInvalidResourceClaim = "InvalidResourceClaim"
	// ReasonResourceClaimNotReady: the user's claim is not there, not allocated, or not the pod's alone.
	ReasonResourceClaimNotReady = "ResourceClaimNotReady"
)

// Reasons of the events on a NetworkAttachmentDefinition.
const (
	// ReasonDefinitionDelegated: it needs CNI plugins.
	ReasonDefinitionDelegated = "Delegated"
	// ReasonDefinitionRefused: it is malformed, or holds no configuration.
	ReasonDefinitionRefused = "Refused"
	// ReasonDefinitionNameTaken: somebody else made a Network of the name that the one for it would have.
	ReasonDefinitionNameTaken = "NameTaken"
	// ReasonDefinitionUnchangeable: it was changed where a Network cannot be, and the Network is as it was.
	ReasonDefinitionUnchangeable = "Unchangeable"
)
