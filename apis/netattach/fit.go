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
	at := func(key string) jsonpos.Position {
		if place, found := e.Keys[key]; found {
			return place
		}
		return e.At
	}
	refuse := func(key, format string, args ...any) {
		reasons = append(reasons, jsonpos.Problem{Path: key, At: at(key), Text: fmt.Sprintf(format, args...)})
	}
	for key := range cannot(e) {
		refuse(key, "%s", because[key])
	}
	if !interfaceName.MatchString(e.Interface) {
		refuse("interface", "%q cannot be had with Multinet: letters, digits, '.', '_' and '-'", e.Interface)
	}
	if problem := macProblem(e.MAC); problem != "" {
		refuse("mac", "%s", problem)
	}
	for i, ip := range e.IPs {
		if !inRanges(ip, network.IPAM) {
			refuse("ips", "%s is in no range of the network", ip.Addr)
		} else if slices.ContainsFunc(e.IPs[:i], func(o npwg.IP) bool { return o.Addr.Is4() == ip.Addr.Is4() }) {
			refuse("ips", "%s is the second %s address: a Network gives one of each family", ip.Addr, family(ip.Addr))
		}
	}
	for key, place := range e.Keys {
		if strings.Contains(key, ".") {
			notes = append(notes, jsonpos.Problem{Path: key, At: place, Text: "has no effect: Multinet does not know this key"})
		}
	}
	return sorted(reasons), sorted(notes)
}

// because tells why no Network can do what a key asks for.
var because = map[string]string{
	"bandwidth":            "a limit belongs to a QoSClass",
	"portMappings":         "Multinet forwards no ports of the node",
	"infiniband-guid":      "Multinet sets no InfiniBand GUIDs",
	"default-route":        "Multinet leaves the pod's default route alone",
	"cni-args":             "arguments are for a CNI plugin",
	"ipam-claim-reference": "Multinet reads no IPAMClaims: an AddressClaim keeps addresses for a pod's name",
}

func cannot(e npwg.Element) map[string]bool {
	asked := map[string]bool{
		"bandwidth": e.Bandwidth != nil, "portMappings": len(e.PortMappings) > 0, "infiniband-guid": e.InfinibandGUID != nil,
		"default-route": e.DefaultRoute != nil, "cni-args": e.CNIArgs, "ipam-claim-reference": e.IPAMClaim != "",
	}
	for key, is := range asked {
		if !is {
			delete(asked, key)
		}
	}
	return asked
}

// macProblem tells why no interface of a Network can have a MAC, or "".
func macProblem(mac net.HardwareAddr) string {
	switch {
	case mac == nil:
		return ""
	case len(mac) != 6:
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
