package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=deviceclasses,verbs=patch

// bandwidth counts what the scheduler has set aside, once for all who ask within half the settling time, unless it has changed.
type bandwidth struct {
	client.Reader

	mu     sync.Mutex
	read   time.Time
	booked map[decide.DeviceKey]decide.Rates
	// version is another one for each content of booked.
	version int
}

func (b *bandwidth) get(ctx context.Context) (booked map[decide.DeviceKey]decide.Rates, version int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.read) > settle/2 {
		var claims resourcev1.ResourceClaimList
		if err := b.List(ctx, &claims, client.UnsafeDisableDeepCopy); err != nil {
			return nil, 0, fmt.Errorf("listing ResourceClaims: %w", err)
		}
		former := b.booked
		b.read, b.booked = now, decide.Booked(claims.Items)
		if !maps.Equal(former, b.booked) {
			b.version++
		}
	}
	return b.booked, b.version, nil
}

// anew has who asks next count again. It comes before those are queued who are to see a change: one that waits in the queue already
// may be taken out at once.
func (b *bandwidth) anew(then mapping) mapping {
	return func(ctx context.Context, obj client.Object) []types.NamespacedName {
		b.mu.Lock()
		b.read = time.Time{}
		b.mu.Unlock()
		return then(ctx, obj)
	}
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

// noPlace looks at pods that the scheduler has tried in vain to place.
func (r *PodReconciler) noPlace(ctx context.Context, pod *corev1.Pod, planned []decide.Planned) (*decide.Refusal, error) {
	if !unschedulable(pod) {
		return nil, nil
	}
	offered, err := published(ctx, r)
	if err != nil {
		return nil, err
	}
	booked, version, err := r.Bandwidth.get(ctx)
	if err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := r.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	why, enough := decide.NoPlace(planned, decide.Admitting(pod, nodes.Items, offered), booked)
	if key := client.ObjectKeyFromObject(pod); enough && r.waiting.overlooked(key, version) {
		ctrl.LoggerFrom(ctx).Info("the scheduler is asked again about a pod that it has refused, since there is as much bandwidth as it asks for")
		if err := r.lookAgain(ctx, planned); err != nil {
			return nil, err
		}
		r.waiting.askedFor(key, version)
	}
	return why, nil
}

// lookAgain has the scheduler look at the pods again that it has refused for their claims. It does so by itself when it hears of
// something that may help, and otherwise after five minutes. kube-scheduler 1.37 counts the capacity that a claim takes twice
// for some milliseconds after it has allocated it: while the claim is in its cache already and still among those that it is about
// to write. A pod that it looks at in between is refused for bandwidth that is there, and nothing that it would hear of follows.
// A pod that waits for something else costs it one look for each change of what is booked.
func (r *PodReconciler) lookAgain(ctx context.Context, planned []decide.Planned) error {
	i := slices.IndexFunc(planned, func(p decide.Planned) bool { return !p.Selection.OwnClaim() })
	class := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.DeviceClassName(planned[i].Network.Name)}}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationLookAgainAt, time.Now().UTC().Format(time.RFC3339Nano))
	if err := r.Patch(ctx, class, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("DeviceClass %s: having the scheduler look again: %w", class.Name, err)
	}
	return nil
}

// published are the slices in the cache. They must not be changed.
func published(ctx context.Context, c client.Reader) ([]resourcev1.ResourceSlice, error) {
	var slices resourcev1.ResourceSliceList
	if err := c.List(ctx, &slices, client.UnsafeDisableDeepCopy); err != nil {
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
