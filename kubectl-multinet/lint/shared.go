package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// noteShared notes definitions that give out the same addresses on the same NIC. Whereabouts counts once for all
// definitions with a range, a Network counts for itself alone.
func noteShared(judgements []Judgement) {
	for i := range judgements {
		for k := range judgements {
			a, b := &judgements[i], judgements[k]
			if i == k || a.Network == nil || b.Network == nil || !sameNIC(a.Network.Network, b.Network.Network) {
				continue
			}
			if cidr, shared := sharedRange(a.Network.Network.IPAM, b.Network.Network.IPAM); shared {
				what := "make one for both, whose namespaceSelector admits both namespaces"
				if a.Network.Network.Type != b.Network.Network.Type {
					what = "give each a part of the range that the other lacks"
				}
				a.Notes = append(a.Notes, Remark{At: a.Object.Definition.Config.At, Text: fmt.Sprintf(
					"its addresses of %s are given out by NetworkAttachmentDefinition %s/%s too: two Networks do not know of each other, so %s",
					cidr, b.Object.Namespace, b.Object.Name, what)})
			}
		}
	}
}

// sameNIC tells whether two Networks of a translation are on one wire.
func sameNIC(a, b *v1alpha1.NetworkSpec) bool {
	if a.SRIOV != nil && b.SRIOV != nil {
		return slices.Equal(a.SRIOV.Device.PFNames, b.SRIOV.Device.PFNames) && vlan(a.SRIOV) == vlan(b.SRIOV)
	}
	x, y := uplink(a), uplink(b)
	return x != nil && y != nil && slices.Equal(x.Names, y.Names) && slices.Equal(x.MACs, y.MACs) && slices.Equal(x.PCIAddresses, y.PCIAddresses)
}

// uplink is what selects the NIC that pods share, or have one after the other; nil where it is none of both.
func uplink(spec *v1alpha1.NetworkSpec) *v1alpha1.UplinkSelector {
	switch {
	case spec.Macvlan != nil:
		return &spec.Macvlan.Uplink
	case spec.HostDevice != nil:
		return &spec.HostDevice.NIC
	}
	return nil
}

func vlan(spec *v1alpha1.SRIOVSpec) int32 {
	if spec.VLAN == nil {
		return 0
	}
	return *spec.VLAN
}

func sharedRange(a, b *v1alpha1.IPAMSpec) (cidr string, shared bool) {
	if a == nil || b == nil {
		return "", false
	}
	for _, ra := range a.Ranges {
		for _, rb := range b.Ranges {
			p, errA := netip.ParsePrefix(ra.CIDR)
			q, errB := netip.ParsePrefix(rb.CIDR)
			if errA == nil && errB == nil && p.Overlaps(q) && !apart(ra, rb) && !apart(rb, ra) {
				return ra.CIDR, true
			}
		}
	}
	return "", false
}

// apart tells whether a ends before b starts.
func apart(a, b v1alpha1.IPRange) bool {
	end, errEnd := netip.ParseAddr(a.End)
	start, errStart := netip.ParseAddr(b.Start)
	return errEnd == nil && errStart == nil && end.Less(start)
}
