package netattach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Fit says what an element of a pod's selection asks for that a Network cannot give (reasons), and what has to be said
// to Multinet in another way (notes). Places are in the annotation; paths are keys of the element.
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
	if e.MAC != nil && len(e.MAC) != 6 {
		refuse("mac", "a Network has Ethernet addresses")
	}
	for _, ip := range e.IPs {
		if !inRanges(ip, network.IPAM) {
			refuse("ips", "%s is in no range of the network", ip.Addr)
		}
	}
	for _, key := range []string{"ips", "mac"} {
		if _, asked := e.Keys[key]; asked {
			notes = append(notes, jsonpos.Problem{Path: key, At: at(key), Text: "is asked for by an AddressClaim, which names the pod"})
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
		"default-route": len(e.DefaultRoute) > 0, "cni-args": e.CNIArgs, "ipam-claim-reference": e.IPAMClaim != "",
	}
	for key, is := range asked {
		if !is {
			delete(asked, key)
		}
	}
	return asked
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
