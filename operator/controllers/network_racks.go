package controllers

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// planRacks decides about the racks, and says when to look again. Racks of a spec that cannot be honoured stay as they are.
// current is false where the cache does not show yet what was written last.
func (r *NetworkReconciler) planRacks(network *v1alpha1.Network, facts *decide.NetworkFacts) (next time.Duration, current bool) {
	if decide.TopologyKey(network) == "" {
		return 0, true
	}
	facts.Moved = r.Allocator.Moved(network.Name, facts.NodeRacks)
	if decide.CheckNetwork(network) != nil {
		facts.Racks = r.Allocator.CountRacks(network)
		return 0, true
	}
	plan, current := r.Allocator.PlanRacks(network, facts.RackNodes, time.Now())
	facts.Racks, facts.Unlisted = plan.Racks, plan.Unlisted
	return plan.Next, current
}

// patchStatus: racks are a record, so two leaders must not each write their own over the other's. What is written serves
// pods from then on.
func (r *NetworkReconciler) patchStatus(ctx context.Context, network, before *v1alpha1.Network) error {
	if decide.TopologyKey(network) == "" {
		return r.Status().Patch(ctx, network, client.MergeFrom(before))
	}
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Status().Patch(guarded, network, patch); err != nil {
		return err
	}
	if !sameRacks(before.Status.Racks, network.Status.Racks) {
		ctrl.LoggerFrom(ctx).Info("racks recorded", "racks", len(network.Status.Racks), "before", len(before.Status.Racks))
	}
	r.Allocator.TakeRacks(network)
	return nil
}

// sooner of two times to look again, 0 for never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}
