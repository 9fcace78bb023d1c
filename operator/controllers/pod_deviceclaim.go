package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get

// deviceClaimPoll is how soon a pod is planned anew that waits for a claim of its user. A watch would keep every claim of the
// cluster in memory, and what mostly happens next, a node for the pod, wakes it anyway.
const deviceClaimPoll = 5 * time.Second

var errDeviceClaimNotReady = errors.New("the pod waits for a claim of its user")

// readDeviceClaims reads the claims that the pod's user wrote, and when the pod has a node those by which it selects a class,
// from the API server. A pod whose interfaces have their attachments needs none: they are the record of the Network that it was.
func (r *PodReconciler) readDeviceClaims(ctx context.Context, s *decide.PodSnapshot) error {
	for _, sel := range decide.Selected(s.Pod) {
		if sel.Network != "" || sel.ByClass() && s.Pod.Spec.NodeName == "" {
			continue
		}
		entry := decide.PodClaim(s.Pod, sel.PodClaimName)
		_, known := s.DeviceClaims[sel.PodClaimName]
		if s.Attached[sel.Interface] != nil || known || entry == nil {
			continue
		}
		claim, err := r.deviceClaim(ctx, s.Pod, entry)
		if err != nil {
			return fmt.Errorf("claim %s: %w", entry.Name, err)
		}
		if s.DeviceClaims == nil {
			s.DeviceClaims = map[string]decide.DeviceClaim{}
		}
		s.DeviceClaims[entry.Name] = claim
	}
	return nil
}

func (r *PodReconciler) readAttached(ctx context.Context, s *decide.PodSnapshot) error {
	s.Attached = map[string]*v1alpha1.PodNetworkAttachment{}
	attachments, err := r.existing(ctx, s.Pod)
	if err != nil {
		return fmt.Errorf("listing its attachments: %w", err)
	}
	for _, pna := range attachments {
		s.Attached[string(pna.Spec.Interface)] = pna
	}
	return nil
}

// deviceClaim reads the claim behind an entry, or as long as the pod has no node, the template of which it is made.
func (r *PodReconciler) deviceClaim(ctx context.Context, pod *corev1.Pod, entry *corev1.PodResourceClaim) (decide.DeviceClaim, error) {
	if pod.Spec.NodeName == "" && entry.ResourceClaimTemplateName != nil {
		found := decide.DeviceClaim{Object: fmt.Sprintf("ResourceClaimTemplate %q", *entry.ResourceClaimTemplateName)}
		var template resourcev1.ResourceClaimTemplate
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: *entry.ResourceClaimTemplateName}, &template)
		if err == nil {
			found.Spec = &template.Spec.Spec
		}
		return found, client.IgnoreNotFound(err)
	}
	name, ofTemplate, err := resourceclaim.Name(pod, entry)
	if err != nil || name == nil {
		return decide.DeviceClaim{Object: fmt.Sprintf("the ResourceClaim of entry %q", entry.Name)}, nil //nolint:nilerr // It is not made yet.
	}
	found := decide.DeviceClaim{Object: fmt.Sprintf("ResourceClaim %q", *name)}
	var claim resourcev1.ResourceClaim
	err = r.Live.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: *name}, &claim)
	if err == nil && (!ofTemplate || resourceclaim.IsForPod(pod, &claim, false) == nil) {
		found.Spec, found.Status = &claim.Spec, claim.Status
	}
	return found, client.IgnoreNotFound(err)
}

// waitForAll has the pod woken by every Network that it may be on, before they are read, and as long as it has no node by those
// that may come.
func (r *PodReconciler) waitForAll(pod *corev1.Pod, candidates []decide.Candidate) {
	var networks []string
	if pod.Spec.NodeName == "" {
		networks = decide.SelectedNetworks(pod)
	}
	for _, c := range candidates {
		networks = append(networks, c.Network)
	}
	r.waiting.add(client.ObjectKeyFromObject(pod), networks)
}
