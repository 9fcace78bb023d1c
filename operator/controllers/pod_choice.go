package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// readOffers fills in all Networks and QoSClasses, shared with the cache: they must not be changed.
func readOffers(ctx context.Context, c client.Client, s *decide.PodSnapshot) error {
	var networks v1alpha1.NetworkList
	if err := c.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Networks: %w", err)
	}
	s.Networks = map[string]*v1alpha1.Network{}
	for i := range networks.Items {
		s.Networks[networks.Items[i].Name] = &networks.Items[i]
	}
	var classes v1alpha1.QoSClassList
	if err := c.List(ctx, &classes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing QoSClasses: %w", err)
	}
	s.QoSClasses = map[string]*v1alpha1.QoSClass{}
	for i := range classes.Items {
		s.QoSClasses[classes.Items[i].Name] = &classes.Items[i]
	}
	return nil
}

// choice is nil where the pod has named its Network. What the pod has itself is not in the way of a cheaper one.
func (r *PodReconciler) choice(ctx context.Context, pod *corev1.Pod, p decide.Planned) (*v1alpha1.NetworkChoice, error) {
	if len(p.Offers) == 0 {
		return nil, nil
	}
	if p.Offers[0].Name == p.Network.Name {
		return decide.Choice(p, pod.Spec.NodeName, nil, nil), nil
	}
	var published resourcev1.ResourceSliceList
	if err := r.List(ctx, &published, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ResourceSlices: %w", err)
	}
	var claims resourcev1.ResourceClaimList
	if err := r.List(ctx, &claims, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ResourceClaims: %w", err)
	}
	others := slices.DeleteFunc(claims.Items, func(c resourcev1.ResourceClaim) bool { return ownedBy(&c, pod.UID) })
	return decide.Choice(p, pod.Spec.NodeName, published.Items, decide.Booked(others)), nil
}
