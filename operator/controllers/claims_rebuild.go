package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// followClaims hears of claims that go. Those that come are held by their reconciler, which knows whether they may.
func (r *Rebuilder) followClaims(ctx context.Context) error {
	informer, err := r.Cache.GetInformer(ctx, &v1alpha1.AddressClaim{})
	if err != nil {
		return err
	}
	forget := func(obj any) {
		if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = tombstone.Obj
		}
		if claim, ok := obj.(*v1alpha1.AddressClaim); ok {
			r.Allocator.ForgetClaim(claim.UID, time.Now())
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(oldObj, newObj any) {
			before, ok1 := oldObj.(*v1alpha1.AddressClaim)
			after, ok2 := newObj.(*v1alpha1.AddressClaim)
			if ok1 && ok2 && before.UID != after.UID {
				forget(before)
			}
		},
		DeleteFunc: forget,
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = informer.RemoveEventHandler(registration) })
	return nil
}

// rebuildClaims holds what claims name, the older ones first. It comes before the attachments, so that a claim has its
// addresses, and its pod's attachment records them behind it. The lock is held.
func (r *Rebuilder) rebuildClaims(ctx context.Context, networks []v1alpha1.Network) error {
	var claims v1alpha1.AddressClaimList
	if err := r.Live.List(ctx, &claims); err != nil {
		return fmt.Errorf("listing address claims: %w", err)
	}
	byName := map[string]*v1alpha1.Network{}
	for i := range networks {
		byName[networks[i].Name] = &networks[i]
	}
	slices.SortFunc(claims.Items, func(a, b v1alpha1.AddressClaim) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	for i := range claims.Items {
		claim := &claims.Items[i]
		labels, err := namespaceLabels(ctx, r.Cache, claim.Namespace)
		if err != nil {
			return err
		}
		problem := decide.CheckClaim(claim, byName[claim.Spec.NetworkName], labels)
		// What is not known now was held before.
		if holds, known := decide.Holds(problem); holds || !known {
			r.Allocator.holdClaim(claim)
		}
	}
	return nil
}

// namespaceLabels are nil for a namespace that does not exist.
func namespaceLabels(ctx context.Context, reader client.Reader, name string) (map[string]string, error) {
	var namespace corev1.Namespace
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, &namespace); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	return namespace.Labels, nil
}

// holdClaim holds a claim that was read from the cache. The cache loses an object before it tells so: what it still has
// after the claim is held will be told, so nothing is held for ever.
func holdClaim(ctx context.Context, cached client.Reader, a *Allocator, claim *v1alpha1.AddressClaim) error {
	a.HoldClaim(claim)
	var again v1alpha1.AddressClaim
	err := cached.Get(ctx, client.ObjectKeyFromObject(claim), &again)
	if apierrors.IsNotFound(err) || err == nil && again.UID != claim.UID {
		a.ForgetClaim(claim.UID, time.Now())
		return errClaimsChanged
	}
	return err
}

// sweepClaims asks the API server about claims that the cache does not show.
func (r *Rebuilder) sweepClaims(ctx context.Context) {
	for _, s := range r.Allocator.heldClaims() {
		var claim v1alpha1.AddressClaim
		if err := r.Cache.Get(ctx, s.key, &claim); err == nil && claim.UID == s.uid {
			continue
		}
		err := r.Live.Get(ctx, s.key, &claim)
		if apierrors.IsNotFound(err) || err == nil && claim.UID != s.uid {
			r.Allocator.ForgetClaim(s.uid, time.Now())
		}
	}
}

func (a *Allocator) heldClaims() []suspect {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []suspect
	for uid, c := range a.claims.byUID {
		found = append(found, suspect{c.key(), uid})
	}
	return found
}
