package netattach

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Fit says what an element of a pod's selection asks for that a Network cannot give (reasons), and what has no effect (notes).
// Whether an address or a MAC is free is not looked at. Places are in the annotation; paths are keys of the element.
func Fit(e npwg.Element, network *v1alpha1.NetworkSpec) (reasons, notes []jsonpos.Problem) {
	f := &fit{element: e}
	if !interfaceName.MatchString(e.Interface) {
		f.refuse("interface", "%q cannot be had with Multinet: letters, digits, '.', '_' and '-'", e.Interface)
	}
	if e.IPAMClaim != "" {
		f.refuse("ipam-claim-reference", "Multinet reads no IPAMClaims: an AddressClaim keeps addresses for a pod's name")
	}
	if network.CNI != nil {
		f.plugins(network.CNI.Config)
	} else {
		f.native(network)
	}
	for key, place := range e.Keys {
		if strings.Contains(key, ".") {
			notes = append(notes, jsonpos.Problem{Path: key, At: place, Text: "has no effect: Multinet does not know this key"})
		}
	}
	return sorted(f.reasons), sorted(notes)
}

// fit collects what cannot be had of one element.
type fit struct {
	element npwg.Element
	reasons []jsonpos.Problem
}

func (f *fit) refuse(key, format string, args ...any) {
	at, found := f.element.Keys[key]
	if !found {
		at = f.element.At
	}
	f.reasons = append(f.reasons, jsonpos.Problem{Path: key, At: at, Text: fmt.Sprintf(format, args...)})
}

// native says what Multinet's own data path cannot give.
func (f *fit) native(network *v1alpha1.NetworkSpec) {
	e := f.element
	asked := map[string]bool{
		"bandwidth": e.Bandwidth != nil, "portMappings": len(e.PortMappings) > 0, "infiniband-guid": e.InfinibandGUID != nil,
		"cni-args": e.CNIArgs != nil,
	}
	for key, is := range asked {
		switch {
		case is && key == "bandwidth" && network.HostDevice != nil:
			f.refuse(key, "%s", ofWholeNIC)
		case is:
			f.refuse(key, "%s", because[key])
		}
	}
	if problem := macProblem(e.MAC); problem != "" {
		f.refuse("mac", "%s", problem)
	}
	f.defaultRoute(network)
	for i, ip := range e.IPs {
		if !inRanges(ip, network.IPAM) {
			f.refuse("ips", "%s is in no range of the network", ip.Addr)
		} else if slices.ContainsFunc(e.IPs[:i], func(o npwg.IP) bool { return o.Addr.Is4() == ip.Addr.Is4() }) {
			f.refuse("ips", "%s is the second %s address: a Network gives one of each family", ip.Addr, family(ip.Addr))
		}
	}
}

// because tells why no Network of Multinet's own data path can do what a key asks for, and what to do.
var because = map[string]string{
	"bandwidth":       "a limit belongs to a QoSClass: make a Network of your own of the definition (kubectl multinet convert) and name a class in its qosClassName",
	"portMappings":    "Multinet forwards no ports of the node: use a Service, or a network of CNI plugins whose chain ends with portmap",
	"infiniband-guid": "Multinet sets no InfiniBand GUIDs: use a network of a CNI plugin that declares infinibandGUID",
	"cni-args":        "arguments are for CNI plugins, and Multinet makes this network itself",
}

// ofWholeNIC is because of bandwidth where there can be no QoSClass.
const ofWholeNIC = "the pod has the NIC alone, and all of its bandwidth: a limit can be had on networks whose pods share a NIC"

// ethernetMAC is the length of a MAC.
const ethernetMAC = 6

// macProblem tells why no interface of a Network can have a MAC, or "".
func macProblem(mac net.HardwareAddr) string {
	switch {
	case mac == nil:
		return ""
	case len(mac) != ethernetMAC:
		return "a Network has Ethernet addresses"
	case mac[0]&1 != 0:
		return "is an address of many machines, where that of one is needed"
	case !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }):
		return "is all zero"
	}
	return ""
}

// inRanges takes a request with another prefix length than the range's as one that cannot be had.
func inRanges(ip npwg.IP, ipam *v1alpha1.IPAMSpec) bool {
	if ipam == nil {
		return false
	}
	return slices.ContainsFunc(ipam.Ranges, func(r v1alpha1.IPRange) bool {
		p, err := netip.ParsePrefix(r.CIDR)
		return err == nil && p.Contains(ip.Addr) && (ip.PrefixLen < 0 || ip.PrefixLen == p.Bits())
	})
}
