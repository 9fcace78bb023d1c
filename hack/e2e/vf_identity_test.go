//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// sameVFs compares everything that tells which VFs a pod has: its claims, its attachments, its annotation, the variables in
// its containers, and the kernel.
func (s *scene) sameVFs(ctx context.Context, g guest, devices map[string]resourceapi.Device, name string) error {
	pod, err := s.get(ctx, name)
	if err != nil {
		return err
	}
	var list v1alpha1.PodNetworkAttachmentList
	if err := s.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingFields{"spec.pod.name": name}); err != nil {
		return err
	}
	status, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	if err != nil {
		return err
	}
	addresses, groups, namespaces := map[string]bool{}, map[string]bool{}, map[string]bool{}
	variables := map[string]bool{}
	trouble := []error{}
	for _, a := range list.Items {
		if a.Status.Device == nil {
			return fmt.Errorf("attachment %s has no device yet", a.Name)
		}
		address := a.Status.Device.PCIAddress
		addresses[address] = true
		variables[strings.ToUpper(a.Status.Device.PF)+" "+address] = true
		if group := a.Status.Device.VFIOGroup; group != "" {
			groups[group], groups["vfio"] = true, true
		}
		claimed, err := s.claimed(ctx, pod, a.Spec)
		trouble = append(trouble, err, inKernel(a, g.vfs[address]), inStatus(a, g.vfs[address], status))
		if netns := g.vfs[address].netns; netns != "" {
			namespaces[netns] = true
		}
		if device := devices[address]; claimed != a.Status.Device.Name || claimed != device.Name {
			trouble = append(trouble, fmt.Errorf("attachment %s has device %s at %s, its claim has %q, and there the node offers %q",
				a.Name, a.Status.Device.Name, address, claimed, device.Name))
		}
	}
	if len(addresses) != strings.Count(pod.Annotations[v1alpha1.AnnotationNetworks], ",")+1 {
		trouble = append(trouble, fmt.Errorf("pod %s has VFs %s for %q", name, sortedKeys(addresses), pod.Annotations[v1alpha1.AnnotationNetworks]))
	}
	if len(pod.Status.ContainerStatuses) != len(pod.Spec.Containers) {
		trouble = append(trouble, fmt.Errorf("pod %s has %d containers of %d", name, len(pod.Status.ContainerStatuses), len(pod.Spec.Containers)))
	}
	for _, c := range pod.Status.ContainerStatuses {
		id := strings.TrimPrefix(c.ContainerID, "containerd://")
		environment, found := g.environment[id]
		if !found {
			trouble = append(trouble, fmt.Errorf("container %s does not run", c.Name))
			continue
		}
		trouble = append(trouble, inVariables(c.Name, environment, variables), inGroups(c.Name, g.groups[id], groups))
		if len(namespaces) > 1 || len(namespaces) == 1 && !namespaces[g.netns[id]] {
			trouble = append(trouble, fmt.Errorf("container %s is in namespace %s, the VFs of pod %s in %s", c.Name, g.netns[id], name, sortedKeys(namespaces)))
		}
	}
	return errors.Join(trouble...)
}

// claimed is the device of an attachment as its pod's claim has it, of which the claim tells as well.
func (s *scene) claimed(ctx context.Context, pod *corev1.Pod, spec v1alpha1.PodNetworkAttachmentSpec) (string, error) {
	claim, err := s.claimBehind(ctx, pod, spec.PodClaimName)
	if err != nil {
		return "", err
	}
	for _, result := range claim.Status.Allocation.Devices.Results {
		if resourceclaim.BaseRequestRef(result.Request) != spec.Request {
			continue
		}
		for _, told := range claim.Status.Devices {
			if told.Driver == result.Driver && told.Device == result.Device && told.NetworkData != nil && told.NetworkData.InterfaceName == string(spec.Interface) {
				return result.Device, nil
			}
		}
		return "", fmt.Errorf("claim %s has device %s and tells of %v", claim.Name, result.Device, claim.Status.Devices)
	}
	return "", fmt.Errorf("claim %s has nothing for request %s: %v", claim.Name, spec.Request, claim.Status.Allocation)
}

// claimBehind is the allocated claim of an entry of a pod's spec.resourceClaims.
func (s *scene) claimBehind(ctx context.Context, pod *corev1.Pod, entry string) (*resourceapi.ResourceClaim, error) {
	for i := range pod.Spec.ResourceClaims {
		if pod.Spec.ResourceClaims[i].Name != entry {
			continue
		}
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return nil, err
		}
		var claim resourceapi.ResourceClaim
		if err := s.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: *name}, &claim); err != nil {
			return nil, err
		}
		if claim.Status.Allocation == nil {
			return nil, fmt.Errorf("claim %s is not allocated", claim.Name)
		}
		return &claim, nil
	}
	return nil, fmt.Errorf("pod %s has no claim %s", pod.Name, entry)
}

// inKernel compares an attachment with the VF at its PCI address.
func inKernel(a v1alpha1.PodNetworkAttachment, vf virtualFunction) error {
	d := a.Status.Device
	if vf.admin != a.Spec.MAC || vf.vlan != *a.Spec.SRIOV.VLAN {
		return fmt.Errorf("attachment %s: the PF has MAC %s and VLAN %d for %s, want %s and %d", a.Name, vf.admin, vf.vlan, d.PCIAddress, a.Spec.MAC, *a.Spec.SRIOV.VLAN)
	}
	if d.VFIndex == nil || d.PF != vf.PF || fmt.Sprint(*d.VFIndex) != vf.Index {
		return fmt.Errorf("attachment %s: its device is %+v, the kernel has VF %s of %s there", a.Name, d, vf.Index, vf.PF)
	}
	if a.Spec.SRIOV.DeviceType == v1alpha1.VFDeviceTypeVFIO {
		if vf.Driver != "vfio-pci" || d.VFIOGroup == "" {
			return fmt.Errorf("attachment %s: group %q of %s is not for a program: %+v", a.Name, d.VFIOGroup, d.PCIAddress, vf)
		}
		return nil
	}
	if vf.OnNode || vf.Link != string(a.Spec.Interface) || vf.MAC != a.Spec.MAC || !vf.Up {
		return fmt.Errorf("attachment %s: %s %s with MAC %s is not in the pod as it should be: %+v", a.Name, d.PCIAddress, a.Spec.Interface, a.Spec.MAC, vf)
	}
	var want []netip.Prefix
	for _, address := range a.Spec.Addresses {
		want = append(want, netip.MustParsePrefix(address.Address))
	}
	slices.SortFunc(want, netip.Prefix.Compare)
	if !slices.Equal(vf.inside.prefixes(), want) {
		return fmt.Errorf("attachment %s: the VF has addresses %v, want %v", a.Name, vf.inside.prefixes(), want)
	}
	return nil
}

func inStatus(a v1alpha1.PodNetworkAttachment, vf virtualFunction, status []netstatus.Interface) error {
	for _, i := range status {
		if i.Interface != string(a.Spec.Interface) {
			continue
		}
		if i.DeviceInfo == nil || i.DeviceInfo.PCI == nil || *i.DeviceInfo.PCI != (netstatus.PCIDevice{Address: a.Status.Device.PCIAddress, PFAddress: vf.pfAddress}) {
			return fmt.Errorf("network-status of %s has device %+v, want %s of %s", i.Interface, i.DeviceInfo, a.Status.Device.PCIAddress, vf.pfAddress)
		}
		return nil
	}
	return fmt.Errorf("network-status does not have %s", a.Spec.Interface)
}

// inGroups compares the VFIO groups that a container can open with those of its pod's VFs.
func inGroups(container, have string, want map[string]bool) error {
	got := map[string]bool{}
	for group := range strings.FieldsSeq(have) {
		got[group] = true
	}
	if sortedKeys(got) != sortedKeys(want) {
		return fmt.Errorf("container %s has VFIO groups %s, want %s", container, sortedKeys(got), sortedKeys(want))
	}
	return nil
}

// inVariables compares the PCIDEVICE_ variables of a container with the VFs of its pod, as "PF ADDRESS".
func inVariables(container string, variables []string, want map[string]bool) error {
	got := map[string]bool{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case !strings.HasPrefix(name, "PCIDEVICE_"):
		case strings.HasSuffix(name, "_INFO"):
			var info map[string]any
			if err := json.Unmarshal([]byte(value), &info); err != nil {
				return fmt.Errorf("container %s: %s=%s: %w", container, name, value, err)
			}
		default:
			for address := range strings.SplitSeq(value, ",") {
				got[strings.TrimPrefix(name, "PCIDEVICE_MULTINET_DEV_")+" "+address] = true
			}
		}
	}
	if sortedKeys(got) != sortedKeys(want) {
		return fmt.Errorf("the variables of container %s tell of %s, want %s", container, sortedKeys(got), sortedKeys(want))
	}
	return nil
}
