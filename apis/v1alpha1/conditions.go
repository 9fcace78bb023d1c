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
	ReasonQoSNotSupported  = "QoSNotSupported"
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
	ReasonUnknownNetwork     = "UnknownNetwork"
	ReasonUnknownQoSClass    = "UnknownQoSClass"
	ReasonNotAdmitted        = "NotAdmitted"
	ReasonNetworkNotAccepted = "NetworkNotAccepted"
	ReasonNetworkDeleting    = "NetworkDeleting"
	ReasonUnsupportedPod     = "UnsupportedPod"
	ReasonRouteConflict      = "RouteConflict"
)
