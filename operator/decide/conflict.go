package decide

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// Conflicts returns the attachment's addresses that another machine has, none for an attachment that carries traffic or
// goes anyway. Only addresses of the order count: a node cannot set aside what it was not given, and a report about an
// order that was replaced meanwhile says nothing about this one.
func Conflicts(pna *v1alpha1.PodNetworkAttachment) []ipam.Aside {
	ready := meta.FindStatusCondition(pna.Status.Conditions, v1alpha1.AttachmentConditionReady)
	if !pna.DeletionTimestamp.IsZero() || ready == nil || ready.Status != metav1.ConditionFalse ||
		ready.Reason != v1alpha1.ReasonDuplicateAddress {
		return nil
	}
	var found []ipam.Aside
	ordered := Addresses(pna)
	for _, c := range pna.Status.Conflicts {
		if addr, err := netip.ParseAddr(c.Address); err == nil && slices.Contains(ordered, addr) {
			found = append(found, ipam.Aside{Addr: addr, By: c.MAC})
		}
	}
	return found
}

// Replaceable tells whether an attachment that is deleted would be made anew: its pod lives, and the Network takes pods.
// Either may be nil, for one that does not exist.
func Replaceable(pna *v1alpha1.PodNetworkAttachment, pod *corev1.Pod, network *v1alpha1.Network) bool {
	return pod != nil && pod.UID == pna.Spec.Pod.UID && pod.DeletionTimestamp.IsZero() && !Lingers(pod) &&
		network != nil && network.DeletionTimestamp.IsZero() && CheckNetwork(network) == nil
}

// Recorded tells whether the Network's status names all of the addresses, so that another operator knows of them.
func Recorded(network *v1alpha1.Network, aside []ipam.Aside) bool {
	return !slices.ContainsFunc(aside, func(a ipam.Aside) bool {
		return !slices.ContainsFunc(network.Status.SetAside, func(s v1alpha1.SetAsideAddress) bool { return s.Address == a.Addr.String() })
	})
}

// SetAside is the form of Network.status.
func SetAside(aside []ipam.Aside) []v1alpha1.SetAsideAddress {
	var status []v1alpha1.SetAsideAddress
	for _, a := range aside {
		status = append(status, v1alpha1.SetAsideAddress{Address: a.Addr.String(), MAC: a.By, Since: metav1.NewTime(a.Since)})
	}
	return status
}

// Aside reads Network.status. What does not parse is left out.
func Aside(network *v1alpha1.Network) []ipam.Aside {
	var aside []ipam.Aside
	for _, s := range network.Status.SetAside {
		if addr, err := netip.ParseAddr(s.Address); err == nil {
			aside = append(aside, ipam.Aside{Addr: addr, By: s.MAC, Since: s.Since.Time})
		}
	}
	return aside
}
