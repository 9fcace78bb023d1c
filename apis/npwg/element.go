// Package npwg parses the annotation k8s.v1.cni.cncf.io/networks, by which pods select NetworkAttachmentDefinitions, in
// both of its forms:
//
//	comma list:  [namespace/]name[@interface] *( "," [namespace/]name[@interface] )
//	JSON list:   [{"name": "a", "namespace": "b", "ips": ["10.1.2.3"], …}]
//
// Sources: k8snetworkplumbingwg/multi-net-spec, sections 4.1 and 4.2, and what its version 1.3 and the reference client
// (network-attachment-definition-client pkg/utils/net-attach-def.go) added. It is as strict as the specification; what
// Multinet cannot do with a legal element is the caller's to say.
package npwg

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// Annotations of pods and NetworkAttachmentDefinitions that Multus and its like know.
const (
	// AnnotationNetworks on a pod selects NetworkAttachmentDefinitions.
	AnnotationNetworks = "k8s.v1.cni.cncf.io/networks"
	// AnnotationDefaultNetwork on a pod replaces the cluster's default network.
	AnnotationDefaultNetwork = "v1.multus-cni.io/default-network"
	// AnnotationResourceName on a NetworkAttachmentDefinition names the devices that it needs.
	AnnotationResourceName = "k8s.v1.cni.cncf.io/resourceName"
)

// Element is one attachment that a pod asks for.
type Element struct {
	// At is where the element begins in the annotation.
	At jsonpos.Position
	// Namespace and Name of the NetworkAttachmentDefinition; the pod's namespace where it names none.
	Namespace, Name string
	// Interface in the pod: net1, net2, … by position where the pod names none.
	Interface string
	// IPs that the attachment has to get.
	IPs []IP
	// MAC is an Ethernet address (6 bytes) or an IP-over-InfiniBand address (20 bytes).
	MAC net.HardwareAddr
	// InfinibandGUID has 8 bytes.
	InfinibandGUID net.HardwareAddr
	PortMappings   []PortMapping
	Bandwidth      *Bandwidth
	// DefaultRoute are the gateways of the pod's default routes through this attachment; empty, but not nil, where it is to have
	// them with whatever gateways it has.
	DefaultRoute []netip.Addr
	// CNIArgs is a JSON object, as it stands in the annotation, of arguments for CNI plugins; nil for none.
	CNIArgs json.RawMessage
	// IPAMClaim is the name of an IPAMClaim in the pod's namespace.
	IPAMClaim string
	// Keys are where the values of the element's keys begin; of the JSON form only.
	Keys map[string]jsonpos.Position
}

// IP is a requested address.
type IP struct {
	Addr netip.Addr
	// PrefixLen is that of the request, -1 where it is a bare address.
	PrefixLen int
}

// PortMapping forwards a port of the node.
type PortMapping struct {
	HostPort, ContainerPort int
	// Protocol is tcp, udp or sctp.
	Protocol string
	// HostIP is invalid where the request names none.
	HostIP netip.Addr
}

// Bandwidth is a limit, rates in bit/s and bursts in bits. 0 is no limit.
type Bandwidth struct {
	IngressRate, IngressBurst, EgressRate, EgressBurst int64
}

// Error tells why an annotation cannot be used.
type Error struct {
	// At is the place in the annotation's value.
	At jsonpos.Position
	// Element counts from 1; 0 where the list itself is malformed.
	Element int
	// Key of the element, such as bandwidth.ingressRate; "" where the whole element is wrong, or has no keys.
	Key string
	// Problem is a clause such as `"1.2.3" is not an IP address`.
	Problem string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("annotation %s: %s: ", AnnotationNetworks, e.At)
	if e.Element > 0 {
		text += fmt.Sprintf("element %d: ", e.Element)
	}
	if e.Key != "" {
		text += fmt.Sprintf("key %q: ", e.Key)
	}
	return text + e.Problem
}
