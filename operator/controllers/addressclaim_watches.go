package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Claims are looked at when they change, and when what they depend on does: their Network, their namespace, whether their
// pod exists, and who else has what they name.
func (r *AddressClaimReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("addressclaim").
		WithOptions(controller.Options{MaxConcurrentReconciles: claimWorkers}).
		For(&v1alpha1.AddressClaim{}).
		Watches(&v1alpha1.Network{}, enqueue(func(ctx context.Context, n client.Object) []types.NamespacedName {
			return r.list(ctx, client.MatchingFields{indexClaimNetwork: n.GetName()})
		}), builder.WithPredicates(predicate.Or(specChanged(), prefixesChanged()))).
		Watches(&corev1.Namespace{}, enqueue(func(ctx context.Context, ns client.Object) []types.NamespacedName {
			return r.list(ctx, client.InNamespace(ns.GetName()))
		}), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&corev1.Pod{}, enqueue(func(ctx context.Context, pod client.Object) []types.NamespacedName {
			return r.list(ctx, client.InNamespace(pod.GetNamespace()), client.MatchingFields{indexClaimPod: client.ObjectKeyFromObject(pod).String()})
		}), builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			r.Allocator.ListenClaims(func(key types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: key}) })
			return nil
		})).
		Complete(r)
}

func (r *AddressClaimReconciler) list(ctx context.Context, options ...client.ListOption) []types.NamespacedName {
	var claims v1alpha1.AddressClaimList
	if err := r.List(ctx, &claims, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range claims.Items {
		keys = append(keys, client.ObjectKeyFromObject(&claims.Items[i]))
	}
	return keys
}

// prefixesChanged: with racks, claims are inside their prefixes.
func prefixesChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.Network)
		after, ok2 := e.ObjectNew.(*v1alpha1.Network)
		return ok1 && ok2 && !sameRacks(before.Status.Racks, after.Status.Racks)
	}}
}
