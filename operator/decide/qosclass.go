package decide

import (
	"fmt"
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// allClasses in a Network's allowedQoSClasses admits every class.
const allClasses = "*"

// AllowsClass tells whether a pod may select the class on the Network.
func AllowsClass(network *v1alpha1.Network, class string) bool {
	spec := &network.Spec
	return class == spec.QoSClassName || slices.Contains(spec.AllowedQoSClasses, class) || slices.Contains(spec.AllowedQoSClasses, allClasses)
}

// checkClass refuses classes that the Network does not allow, and those that are being deleted. The class may be nil.
func checkClass(name string, class *v1alpha1.QoSClass, network *v1alpha1.Network) *Refusal {
	if !AllowsClass(network, name) {
		return &Refusal{v1alpha1.ReasonQoSClassNotAllowed, fmt.Sprintf(
			"Network %q does not allow QoSClass %q; select %s, or add it to spec.allowedQoSClasses of the Network",
			network.Name, name, allowed(network))}
	}
	if class != nil && !class.DeletionTimestamp.IsZero() {
		return &Refusal{v1alpha1.ReasonQoSClassDeleting, fmt.Sprintf(
			"QoSClass %q is being deleted and takes no new pods; select another one for network %q, or create it again once it is gone",
			name, network.Name)}
	}
	return nil
}

// allowed tells a person what a Network offers.
func allowed(network *v1alpha1.Network) string {
	classes := slices.Clone(network.Spec.AllowedQoSClasses)
	if network.Spec.QoSClassName != "" {
		classes = append(classes, network.Spec.QoSClassName)
	}
	slices.Sort(classes)
	if classes = slices.Compact(classes); len(classes) == 0 {
		return "no class"
	}
	return "one of " + some(classes)
}
