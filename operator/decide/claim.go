package decide

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// IsSticky tells whether the operator made the claim, and may delete it.
func IsSticky(claim *v1alpha1.AddressClaim) bool { return claim.Labels[v1alpha1.LabelSticky] == "true" }

// ClaimAddresses returns the addresses of a claim. What does not parse cannot be held by anybody and is left out.
func ClaimAddresses(claim *v1alpha1.AddressClaim) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range claim.Spec.Addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// assignClaims finds the claim of each planned interface. Which addresses are free is not decided here.
func (s PodSnapshot) assignClaims(planned []Planned) *Refusal {
	seen := map[string]bool{}
	for i := range planned {
		p := &planned[i]
		claim, refusal := s.claimFor(p, !seen[p.Network.Name])
		if refusal != nil {
			return refusal
		}
		seen[p.Network.Name] = true
		if claim == nil {
			continue
		}
		p.Claim = claim
		problem := CheckClaim(claim, p.Network, s.NamespaceLabels)
		if problem != nil && problem.Reason == v1alpha1.ReasonOutsideRanges && IsSticky(claim) {
			p.Outdated = problem.Message
			continue
		}
		if problem != nil {
			return &Refusal{v1alpha1.ReasonAddressClaim, fmt.Sprintf("AddressClaim %q: %s", claim.Name, problem.Message)}
		}
	}
	return nil
}

// claimFor is the claim that a user wrote for the interface, else the one that the operator made, else nil.
func (s PodSnapshot) claimFor(p *Planned, first bool) (*v1alpha1.AddressClaim, *Refusal) {
	var asked, sticky []*v1alpha1.AddressClaim
	for _, claim := range s.Claims {
		spec := &claim.Spec
		onInterface := string(spec.Interface) == p.Selection.Interface || spec.Interface == "" && first
		switch {
		case spec.NetworkName != p.Network.Name || spec.PodName != s.Pod.Name || claim.Namespace != s.Pod.Namespace || !onInterface:
		case IsSticky(claim):
			sticky = append(sticky, claim)
		default:
			asked = append(asked, claim)
		}
	}
	if len(asked) == 0 {
		asked = sticky
	}
	switch len(asked) {
	case 0:
		return nil, nil
	case 1:
		return asked[0], nil
	}
	slices.SortFunc(asked, func(a, b *v1alpha1.AddressClaim) int { return strings.Compare(a.Name, b.Name) })
	return nil, &Refusal{v1alpha1.ReasonAddressClaim, fmt.Sprintf(
		"AddressClaims %q and %q are both for interface %s of pod %q on network %q; delete one of them",
		asked[0].Name, asked[1].Name, p.Selection.Interface, s.Pod.Name, p.Network.Name)}
}

// CheckClaim tells why the Network cannot give the claim what it asks for, whoever else has it; nil if it can. network is
// nil where it does not exist.
func CheckClaim(claim *v1alpha1.AddressClaim, network *v1alpha1.Network, namespaceLabels map[string]string) *Refusal {
	if network == nil {
		return &Refusal{v1alpha1.ReasonUnknownNetwork, fmt.Sprintf("Network %q does not exist; create it, or delete the claim", claim.Spec.NetworkName)}
	}
	asPod := PodSnapshot{Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace}}, NamespaceLabels: namespaceLabels}
	if refusal := asPod.checkNetwork(network.Name, network); refusal != nil {
		return refusal
	}
	if network.Spec.CNI != nil {
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, fmt.Sprintf(
			"CNI plugins choose the addresses and the MAC of network %q; delete the claim, and write what they can be told into spec.cni.config", network.Name)}
	}
	if network.Spec.HostDevice != nil && claim.Spec.MAC != "" {
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, fmt.Sprintf(
			"a NIC of network %q keeps its own MAC; delete the claim, and create another without a mac", network.Name)}
	}
	problem, err := outside(ClaimAddresses(claim), network)
	switch {
	case err != nil:
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, err.Error()}
	case problem != "":
		return &Refusal{v1alpha1.ReasonOutsideRanges, problem + "; delete the claim, and create another, or correct the ranges"}
	}
	return nil
}

// outside tells which of the addresses the Network cannot give, whoever has it; "" if it can give all.
func outside(addresses []netip.Addr, network *v1alpha1.Network) (problem string, _ error) {
	ranges, err := claimRanges(network)
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if !slices.ContainsFunc(ranges, func(r ipam.Range) bool { return r.Claimable(a) }) {
			return fmt.Sprintf("%s is not an address that a host can have in a range of network %q: %s", a, network.Name, rangeList(ranges)), nil
		}
	}
	return "", nil
}

// claimRanges are those that an address of a claim may be in: with racks, their prefixes.
func claimRanges(network *v1alpha1.Network) ([]ipam.Range, error) {
	ranges, err := ipam.ParseRanges(network.Spec.IPAM)
	if err == nil && TopologyKey(network) != "" {
		return RackRanges(ranges, network.Status.Racks), nil
	}
	return ranges, err
}

// CheckClaimRack refuses a pod in another rack than its claim's addresses.
func CheckClaimRack(pod *corev1.Pod, p Planned) *Refusal {
	if p.Rack == nil || p.Claim == nil {
		return nil
	}
	ranges, err := claimRanges(p.Network)
	if err != nil {
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, err.Error()}
	}
	for _, a := range ClaimAddresses(p.Claim) {
		i := slices.IndexFunc(ranges, func(r ipam.Range) bool { return r.Prefix.Contains(a) })
		if i >= 0 && ranges[i].Scope != p.Rack.Rack {
			return &Refusal{v1alpha1.ReasonAddressClaim, fmt.Sprintf(
				"AddressClaim %q: %s is of rack %q of network %q, and node %q is in rack %q; run the pod in rack %q, or delete the claim",
				p.Claim.Name, a, ranges[i].Scope, p.Network.Name, pod.Spec.NodeName, p.Rack.Rack, ranges[i].Scope)}
		}
	}
	return nil
}

func rangeList(ranges []ipam.Range) string {
	var names []string
	for _, r := range ranges {
		names = append(names, r.Prefix.String())
	}
	if len(names) == 0 {
		return "it has none"
	}
	return some(names)
}

// Holds tells whether a claim with that problem, or none, is to hold its addresses: where a spec cannot be honoured or a
// Network goes, everything stays as it was (known is false).
func Holds(problem *Refusal) (holds, known bool) {
	if problem == nil {
		return true, true
	}
	switch problem.Reason {
	case v1alpha1.ReasonUnknownNetwork, v1alpha1.ReasonNotAdmitted, v1alpha1.ReasonOutsideRanges:
		return false, true
	}
	return false, false
}

// KeepsAddresses tells whether the Network's pods get the addresses again that a pod of their name had.
func KeepsAddresses(network *v1alpha1.Network) bool {
	return network.Spec.IPAM != nil && network.Spec.IPAM.Sticky == v1alpha1.StickyPodName
}

// StickyClaim keeps what a pod gets for the next pod of its name.
func StickyClaim(pod *corev1.Pod, p Planned, addresses []ipam.Assignment) *v1alpha1.AddressClaim {
	iface := p.Selection.Interface
	claim := &v1alpha1.AddressClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       pod.Namespace,
			Name:            StickyClaimName(pod.Name, p.Network.Name, iface),
			Labels:          map[string]string{v1alpha1.LabelSticky: "true"},
			OwnerReferences: []metav1.OwnerReference{ownerReference(p.Network)},
		},
		Spec: v1alpha1.AddressClaimSpec{
			NetworkName: p.Network.Name, PodName: pod.Name, Interface: v1alpha1.InterfaceName(iface),
		},
	}
	if p.Network.Spec.HostDevice == nil { // there it is the NIC's own, whichever that is
		claim.Spec.MAC = MAC(p.Network.Name, addresses, pod.UID, iface).String()
	}
	for _, a := range addresses {
		claim.Spec.Addresses = append(claim.Spec.Addresses, a.Addr.String())
	}
	return claim
}

// StickyClaimName is deterministic, so that two operators make the same object.
func StickyClaimName(podName, network, iface string) string {
	sum := sha256.Sum256([]byte(podName + "/" + network + "/" + iface))
	if len(podName) > maxPodNamePart {
		podName = strings.TrimRight(podName[:maxPodNamePart], "-.")
	}
	return podName + "-" + hex.EncodeToString(sum[:5])
}

// attachmentMAC is that of the claim, what the pod asks for, or derived, or left to CNI plugins. A NIC that is moved into the pod keeps
// its own unless the pod asks for another.
func (p Planned) attachmentMAC(pod *corev1.Pod, addresses []ipam.Assignment) string {
	if p.Network.Spec.CNI != nil {
		return ""
	}
	if p.Asked != nil && p.Asked.MAC != "" {
		return p.Asked.MAC
	}
	if p.Network.Spec.HostDevice != nil {
		return ""
	}
	if p.Claim != nil && p.Claim.Spec.MAC != "" {
		return p.Claim.Spec.MAC
	}
	return MAC(p.Network.Name, addresses, pod.UID, p.Selection.Interface).String()
}
