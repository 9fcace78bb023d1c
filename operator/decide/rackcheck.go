package decide

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// checkRacks: each rack gets a prefix of its own out of the ranges, so nothing in the spec can name one address of it.
func checkRacks(spec *v1alpha1.NetworkSpec, ranges []ipam.Range) (problems []error) {
	if spec.Type != v1alpha1.NetworkTypeRackLocal || spec.RackLocal == nil {
		return nil
	}
	if (spec.RackLocal.Uplink == nil) == (spec.RackLocal.Overlay == nil) {
		problems = append(problems, errors.New("spec.rackLocal: exactly one of uplink and overlay must be set"))
	}
	for i, r := range ranges {
		if whole := spec.IPAM.Ranges[i]; whole.Start != "" || whole.End != "" || whole.Gateway != "" {
			problems = append(problems, fmt.Errorf("spec.ipam: range %s: start, end and gateway cannot be had with type RackLocal, "+
				"since each rack has a prefix of its own; exclude can", r.Prefix))
		}
		problems = append(problems, checkPrefixLength(spec.RackLocal, r)...)
	}
	for _, route := range spec.Routes {
		if hop, err := netip.ParseAddr(route.Via); err == nil && !hop.IsLinkLocalUnicast() {
			problems = append(problems, fmt.Errorf("spec.routes: to %s: via %s would be in one rack only, since each rack has a prefix of its own; "+
				"leave it away, or name a link-local address", route.To, hop))
		}
	}
	return problems
}

func checkPrefixLength(rack *v1alpha1.RackLocalSpec, r ipam.Range) []error {
	bits, given := prefixLength(rack, r.Family())
	switch {
	case !given:
		return []error{fmt.Errorf("spec.rackLocal.prefixLength: range %s needs a length for %s", r.Prefix, r.Family())}
	case bits < r.Prefix.Bits():
		return []error{fmt.Errorf("spec.rackLocal.prefixLength: no /%d fits into range %s", bits, r.Prefix)}
	}
	return nil
}

// prefixLength of the racks' prefixes of a family.
func prefixLength(rack *v1alpha1.RackLocalSpec, family ipam.Family) (bits int, given bool) {
	if rack.PrefixLength == nil {
		return 0, false
	}
	length := rack.PrefixLength.IPv6
	if family == ipam.IPv4 {
		length = rack.PrefixLength.IPv4
	}
	if length == nil {
		return 0, false
	}
	return int(*length), true
}
