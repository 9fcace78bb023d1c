package controllers

import (
	"context"
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ensureClaimTemplate: absent → create, wrong → replace, right → leave. The spec of a template is immutable, so
// replacing is deleting and creating; claims that were made of it stay.
func ensureClaimTemplate(ctx context.Context, c client.Client, desired *resourcev1.ResourceClaimTemplate) error {
	key := client.ObjectKeyFromObject(desired)
	var found resourcev1.ResourceClaimTemplate
	err := c.Get(ctx, key, &found)
	switch {
	case err == nil && equality.Semantic.DeepEqual(found.Spec, desired.Spec) && ownedBy(&found, desired.OwnerReferences[0].UID):
		return nil
	case err == nil:
		if err := c.Delete(ctx, &found, client.Preconditions{UID: &found.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("replacing ResourceClaimTemplate %s: %w", key, err)
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("ResourceClaimTemplate %s: %w", key, err)
	}
	// It may exist already: made by another pod's plan that our cache does not show yet.
	if err := c.Create(ctx, desired); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating ResourceClaimTemplate %s: %w", key, err)
	}
	return nil
}
