package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// resourceOf is the extended resource that a Network's plugins need a device of, or "".
func resourceOf(network *v1alpha1.Network) string {
	if network.Spec.CNI == nil {
		return ""
	}
	return network.Spec.CNI.ResourceName
}

// assignDevices counts the interfaces that need a device of a device plugin, for each resource by itself, and refuses those of
// which the pod's containers request too few: the kubelet would have none to give. Interfaces that the pod has keep what they have.
func (s PodSnapshot) assignDevices(planned []Planned) *Refusal {
	needed := map[string]int64{}
	for i := range planned {
		p := &planned[i]
		resource := resourceOf(p.Network)
		if resource == "" {
			continue
		}
		index := int32(needed[resource]) //nolint:gosec // A pod has 32 interfaces at most.
		p.ResourceIndex = &index
		needed[resource]++
		if s.Attached[p.Selection.Interface] != nil {
			continue
		}
		if Edited(s.Pod) {
			return &Refusal{v1alpha1.ReasonNeedsScheduling, fmt.Sprintf(
				"network %q interface %s cannot be added to a pod that runs: its CNI plugins need a device of %s, and the scheduler and the kubelet have set the pod's devices aside already; create the pod anew with it",
				p.Network.Name, p.Selection.Interface, resource)}
		}
		requested := requestedDevices(s.Pod, resource)
		if needed[resource] <= requested {
			continue
		}
		return &Refusal{v1alpha1.ReasonDeviceNotRequested, fmt.Sprintf(
			"network %q interface %s needs a device of %s, which a device plugin of the node gives to containers: with it the pod needs %d, and its containers request %d; "+
				"create the pod again with resources.limits[%q]: %d in one of its containers",
			p.Network.Name, p.Selection.Interface, resource, needed[resource], requested, resource, needed[resource])}
	}
	return nil
}

// requestedDevices are those of containers that the kubelet tells of: what an init container gives back before the others start is not
// among them.
func requestedDevices(pod *corev1.Pod, resource string) (n int64) {
	count := func(c *corev1.Container) {
		quantity := c.Resources.Limits[corev1.ResourceName(resource)]
		n += quantity.Value()
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			count(c)
		}
	}
	for i := range pod.Spec.Containers {
		count(&pod.Spec.Containers[i])
	}
	return n
}
