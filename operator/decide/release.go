package decide

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Ready tells whether the agent reported the attachment as attached.
func Ready(pna *v1alpha1.PodNetworkAttachment) bool {
	return meta.IsStatusConditionTrue(pna.Status.Conditions, v1alpha1.AttachmentConditionReady)
}

// Duplicates returns which of several attachments that share an address of one Network must go. A Ready one
// never goes; of the others the oldest stays if none is Ready. Every operator that looks at the same objects
// comes to the same answer. Attachments that are already being deleted neither stay nor need another delete.
func Duplicates(sharing []*v1alpha1.PodNetworkAttachment) []*v1alpha1.PodNetworkAttachment {
	living := slices.DeleteFunc(slices.Clone(sharing), func(p *v1alpha1.PodNetworkAttachment) bool {
		return !p.DeletionTimestamp.IsZero()
	})
	if len(living) < 2 {
		return nil
	}
	slices.SortFunc(living, func(a, b *v1alpha1.PodNetworkAttachment) int {
		return cmp.Or(
			compareBool(Ready(b), Ready(a)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.UID, b.UID))
	})
	return slices.DeleteFunc(living[1:], Ready)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// NodeCannotRelease tells whether no agent on the node can or need confirm a release any more: the node object
// is gone (nil), or an administrator has declared by taint that the machine is off.
func NodeCannotRelease(node *corev1.Node) bool {
	return node == nil || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeOutOfService
	})
}
