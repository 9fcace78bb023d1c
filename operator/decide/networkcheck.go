package decide

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// minIPv6MTU: the kernel takes IPv6 away from an interface with less (RFC 8200).
const minIPv6MTU = 1280

// CheckNetwork finds what CEL cannot. The error joins every problem; nil means that the spec can be honoured.
func CheckNetwork(network *v1alpha1.Network) error {
	var problems []error
	spec := &network.Spec
	switch {
	case spec.Type == v1alpha1.NetworkTypeMacvlan && spec.Macvlan == nil:
		problems = append(problems, errors.New("spec.macvlan is missing"))
	case spec.Type == v1alpha1.NetworkTypeSRIOV && spec.SRIOV == nil:
		problems = append(problems, errors.New("spec.sriov is missing"))
	case spec.Type == v1alpha1.NetworkTypeRackLocal && spec.RackLocal == nil:
		problems = append(problems, errors.New("spec.rackLocal is missing"))
	case spec.Type == v1alpha1.NetworkTypeHostDevice && spec.HostDevice == nil:
		problems = append(problems, errors.New("spec.hostDevice is missing"))
	case spec.Type == v1alpha1.NetworkTypeCNI && spec.CNI == nil:
		problems = append(problems, errors.New("spec.cni is missing"))
	}
	if _, err := metav1.LabelSelectorAsSelector(spec.NamespaceSelector); err != nil {
		problems = append(problems, fmt.Errorf("spec.namespaceSelector: %w", err))
	}
	ranges, err := ipam.ParseRanges(spec.IPAM)
	if err != nil {
		return errors.Join(append(problems, fmt.Errorf("spec.ipam: %w", err))...)
	}
	problems = append(problems, checkRanges(spec, ranges)...)
	problems = append(problems, checkRoutes(spec.Routes, ranges)...)
	problems = append(problems, checkVF(spec)...)
	problems = append(problems, checkPlugins(spec)...)
	return errors.Join(append(problems, checkRacks(spec, ranges)...)...)
}

func checkRanges(spec *v1alpha1.NetworkSpec, ranges []ipam.Range) (problems []error) {
	for _, r := range ranges {
		if a := r.Prefix.Addr(); a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() && a.Is4() {
			problems = append(problems, fmt.Errorf("spec.ipam: range %s: no host can have an address of it", r.Prefix))
		}
		if r.Family() == ipam.IPv6 && spec.MTU != nil && *spec.MTU < minIPv6MTU {
			problems = append(problems, fmt.Errorf("spec.mtu %d is too small for range %s: IPv6 needs at least %d", *spec.MTU, r.Prefix, minIPv6MTU))
		}
	}
	return problems
}

func checkRoutes(routes []v1alpha1.Route, ranges []ipam.Range) (problems []error) {
	seen := map[netip.Prefix]bool{}
	for _, route := range routes {
		to, err := netip.ParsePrefix(route.To)
		if err != nil {
			problems = append(problems, fmt.Errorf("spec.routes: %w", err))
			continue
		}
		if seen[to.Masked()] {
			problems = append(problems, fmt.Errorf("spec.routes: %s stands twice", to))
		}
		seen[to.Masked()] = true
		if err := checkRoute(to, route.Via, ranges); err != nil {
			problems = append(problems, fmt.Errorf("spec.routes: to %s: %w", to, err))
		}
	}
	return problems
}

// checkRoute: the kernel refuses a route whose family the interface lacks, or whose next hop is not on link.
func checkRoute(to netip.Prefix, via string, ranges []ipam.Range) error {
	family := ipam.FamilyOf(to.Addr())
	if !slices.ContainsFunc(ranges, func(r ipam.Range) bool { return r.Family() == family }) {
		return fmt.Errorf("spec.ipam has no %s range", family)
	}
	if via == "" {
		return nil
	}
	hop, err := netip.ParseAddr(via)
	if err != nil {
		return fmt.Errorf("via: %w", err)
	}
	if hop.IsLinkLocalUnicast() || slices.ContainsFunc(ranges, func(r ipam.Range) bool { return r.Prefix.Contains(hop) }) {
		return nil
	}
	return fmt.Errorf("via %s is in no range, so pods cannot reach it", hop)
}
