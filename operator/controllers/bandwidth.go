package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get;list;watch

// bandwidth counts what the scheduler has set aside, for all who ask within half the settling time: what they look at
// changed at least a settling time before.
type bandwidth struct {
	client.Reader

	mu     sync.Mutex
	read   time.Time
	booked map[decide.DeviceKey]decide.Rates
}

func (b *bandwidth) get(ctx context.Context) (map[decide.DeviceKey]decide.Rates, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.read) > settle/2 {
		var claims resourcev1.ResourceClaimList
		if err := b.List(ctx, &claims, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing ResourceClaims: %w", err)
		}
		b.read, b.booked = now, decide.Booked(claims.Items)
	}
	return b.booked, nil
}

// bookingsChanged leaves out claims that have no bandwidth, before and after.
func bookingsChanged() predicate.Predicate {
	booked := func(obj client.Object) map[decide.DeviceKey]decide.Rates {
		claim, ok := obj.(*resourcev1.ResourceClaim)
		if !ok {
			return nil
		}
		found := decide.Booked([]resourcev1.ResourceClaim{*claim})
		maps.DeleteFunc(found, func(_ decide.DeviceKey, r decide.Rates) bool { return r == decide.Rates{} })
		if len(found) == 0 {
			return nil
		}
		return found
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return booked(e.Object) != nil },
		DeleteFunc: func(e event.DeleteEvent) bool { return booked(e.Object) != nil },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(booked(e.ObjectOld), booked(e.ObjectNew))
		},
	}
}

// shortOfBandwidth looks at pods that the scheduler has tried in vain to place.
func (r *PodReconciler) shortOfBandwidth(ctx context.Context, pod *corev1.Pod, planned []decide.Planned) (*decide.Refusal, error) {
	if !unschedulable(pod) {
		return nil, nil
	}
	published, err := r.published(ctx)
	if err != nil {
		return nil, err
	}
	booked, err := r.Bandwidth.get(ctx)
	if err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := r.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	return decide.ShortOfBandwidth(planned, decide.Admitting(pod, nodes.Items, published), booked), nil
}

// published are the slices in the cache. They must not be changed.
func (r *PodReconciler) published(ctx context.Context) ([]resourcev1.ResourceSlice, error) {
	var slices resourcev1.ResourceSliceList
	if err := r.List(ctx, &slices, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ResourceSlices: %w", err)
	}
	return slices.Items, nil
}

func unschedulable(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

// podsShort are those that wait and that the scheduler has no place for, or whose node lacks what was added to them: bandwidth
// or a NIC came or went.
func (r *PodReconciler) podsShort(ctx context.Context, _ client.Object) []types.NamespacedName {
	return r.waiting.where(func(key types.NamespacedName) bool {
		var pod corev1.Pod
		return r.Get(ctx, key, &pod) == nil && (pod.Spec.NodeName == "" && unschedulable(&pod) || decide.Edited(&pod))
	})
}
