package dra

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// requestsOf reads from a claim which interfaces of which pod its devices of ours are to be. Devices of other drivers in it are theirs.
func (d *driver) requestsOf(ctx context.Context, claim *resourceapi.ResourceClaim) ([]sandboxes.Request, error) {
	devices, err := publish.DevicesOf(claim)
	if err == nil && len(devices) == 0 {
		err = fmt.Errorf("claim %s/%s has no device of driver %s", claim.Namespace, claim.Name, v1alpha1.DriverName)
	}
	if err != nil {
		return nil, err
	}
	owner, err := podOf(claim)
	if err != nil {
		return nil, err
	}
	entryOf, err := d.entries(ctx, claim, owner)
	if err != nil {
		return nil, err
	}
	var requests []sandboxes.Request
	for _, device := range devices {
		entry, err := entryOf(device.BaseRequest())
		if err != nil {
			return nil, err
		}
		requests = append(requests, sandboxes.Request{
			Namespace: claim.Namespace, PodName: owner.Name, PodUID: owner.UID, PodClaimName: entry, Claim: device, Network: networkOf(claim, device),
		})
	}
	return requests, nil
}

// podOf is the only pod that the claim is reserved for: a device becomes the interface of one.
func podOf(claim *resourceapi.ResourceClaim) (resourceapi.ResourceClaimConsumerReference, error) {
	reserved := claim.Status.ReservedFor
	if len(reserved) == 1 && reserved[0].APIGroup == "" && reserved[0].Resource == "pods" {
		return reserved[0], nil
	}
	var names []string
	for _, r := range reserved {
		names = append(names, r.Resource+"/"+r.Name)
	}
	return resourceapi.ResourceClaimConsumerReference{}, fmt.Errorf(
		"claim %s/%s is reserved for [%s] and not for one pod, whose interface its device can be: give each pod a claim of its own with a ResourceClaimTemplate",
		claim.Namespace, claim.Name, strings.Join(names, " "))
}

// entries returns a function that tells by which entry of the pod's spec.resourceClaims a request of the claim is selected.
func (d *driver) entries(ctx context.Context, claim *resourceapi.ResourceClaim, owner resourceapi.ResourceClaimConsumerReference) (func(request string) (string, error), error) {
	entry := claim.Annotations[resourceapi.PodResourceClaimAnnotation]
	if made := metav1.GetControllerOf(claim); strings.HasPrefix(entry, v1alpha1.PodClaimPrefix) && made != nil && made.UID == owner.UID {
		return func(string) (string, error) { return entry, nil }, nil
	}
	pod, err := d.pod(ctx, claim.Namespace, owner.Name, owner.UID)
	if err != nil {
		return nil, err
	}
	own := ownEntries(pod, claim)
	selections, err := selection.Parse(pod.Annotations[v1alpha1.AnnotationNetworks])
	// What a pod that was edited selects no more its claim has still.
	former, _ := selection.Parse(pod.Annotations[v1alpha1.AnnotationAtCreation])
	selections = append(selections, former...)
	if err == nil && len(own) == 0 {
		err = errors.New("its spec.resourceClaims does not name it")
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s/%s of pod %s: %w", claim.Namespace, claim.Name, pod.Name, err)
	}
	return func(request string) (string, error) {
		for _, s := range selections {
			if s.OwnClaim() && s.Request == request && own[s.PodClaimName] {
				return s.PodClaimName, nil
			}
		}
		return "", fmt.Errorf("claim %s/%s has a device for request %q that pod %s does not select: add %q to its annotation %s, or take the request out of the claim",
			claim.Namespace, claim.Name, request, pod.Name, selection.ClaimElement(anyOf(own), request), v1alpha1.AnnotationNetworks)
	}, nil
}

// ownEntries are the entries of the pod's spec.resourceClaims that stand for the claim.
func ownEntries(pod *corev1.Pod, claim *resourceapi.ResourceClaim) map[string]bool {
	entries := map[string]bool{}
	for i := range pod.Spec.ResourceClaims {
		entry := &pod.Spec.ResourceClaims[i]
		if name, _, err := resourceclaim.Name(pod, entry); err == nil && name != nil && *name == claim.Name {
			entries[entry.Name] = true
		}
	}
	return entries
}

// anyOf is the first in the order of names.
func anyOf(entries map[string]bool) (first string) {
	for entry := range entries {
		if first == "" || entry < first {
			first = entry
		}
	}
	return first
}

// networkOf is the Network whose DeviceClass was asked for, "" where it is none of a Network.
func networkOf(claim *resourceapi.ResourceClaim, device plan.Claim) string {
	for _, request := range claim.Spec.Devices.Requests {
		if request.Exactly != nil && request.Name == device.Request {
			return v1alpha1.NetworkOfDeviceClass(request.Exactly.DeviceClassName)
		}
		for _, sub := range request.FirstAvailable {
			if resourceclaim.CreateSubRequestRef(request.Name, sub.Name) == device.Request {
				return v1alpha1.NetworkOfDeviceClass(sub.DeviceClassName)
			}
		}
	}
	return ""
}
