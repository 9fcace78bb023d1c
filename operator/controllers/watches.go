package controllers

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// settle is how long a Network waits after an attachment or a ResourceSlice changed, since they come in bursts.
const settle = 500 * time.Millisecond

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Pods that wait are woken by what they may wait for; nothing else reconciles a pod that did not change.
func (r *PodReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("pod").
		WithOptions(controller.Options{MaxConcurrentReconciles: podWorkers}).
		For(&corev1.Pod{}, builder.WithPredicates(podsThatSelect())).
		Watches(&v1alpha1.Network{}, enqueue(func(_ context.Context, n client.Object) []types.NamespacedName {
			return r.waiting.forNetwork(n.GetName())
		}), builder.WithPredicates(predicate.Or(specChanged(), held(), exhaustionChanged()))).
		// A definition without a Network says why.
		Watches(&netattach.NetworkAttachmentDefinition{}, enqueue(func(_ context.Context, d client.Object) []types.NamespacedName {
			return r.waiting.forNetwork(netattach.NetworkName(d.GetNamespace(), d.GetName()))
		})).
		Watches(&v1alpha1.QoSClass{}, enqueue(func(context.Context, client.Object) []types.NamespacedName {
			return r.waiting.where(func(types.NamespacedName) bool { return true })
		}), builder.WithPredicates(specChanged())).
		Watches(&corev1.Namespace{}, enqueue(func(_ context.Context, ns client.Object) []types.NamespacedName {
			return r.waiting.where(func(pod types.NamespacedName) bool { return pod.Namespace == ns.GetName() })
		}), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&resourcev1.ResourceClaimTemplate{}, enqueue(r.podsOfTemplate), builder.WithPredicates(deletions())).
		Watches(&corev1.Node{}, enqueue(r.podsOfNode), builder.WithPredicates(placeChanged())).
		Watches(&resourcev1.ResourceClaim{}, enqueueLater(r.Bandwidth.anew(r.podsShort)), builder.WithPredicates(bookingsChanged())).
		Watches(&resourcev1.ResourceSlice{}, enqueueLater(r.podsShort)).
		WatchesRawSource(onChange(r.Allocator, r.freed)).
		Complete(r)
}

// freed wakes the pods that wait for an address or for their rack, and the pod of the attachment: it needs a new one if
// it lives.
func (r *PodReconciler) freed(c change, q queue) {
	if !c.freed && !c.racks {
		return
	}
	for _, pod := range append(r.waiting.forNetwork(c.network), c.pod) {
		q.Add(reconcile.Request{NamespacedName: pod})
	}
}

// podsOfTemplate finds unbound pods whose template somebody deleted.
func (r *PodReconciler) podsOfTemplate(ctx context.Context, template client.Object) []types.NamespacedName {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(template.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Spec.NodeName == "" && slices.Contains(decide.SelectedNetworks(pod), template.GetLabels()[decide.LabelNetwork]) {
			keys = append(keys, client.ObjectKeyFromObject(pod))
		}
	}
	return keys
}

// podsOfNode finds pods of the node that wait.
func (r *PodReconciler) podsOfNode(ctx context.Context, node client.Object) []types.NamespacedName {
	return r.waiting.where(func(key types.NamespacedName) bool {
		var pod corev1.Pod
		return r.Get(ctx, key, &pod) == nil && pod.Spec.NodeName == node.GetName()
	})
}

func (r *NetworkReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("network").
		WithOptions(controller.Options{MaxConcurrentReconciles: networkWorkers}).
		For(&v1alpha1.Network{}, builder.WithPredicates(specChanged())).
		// Overlaps concern other Networks too.
		Watches(&v1alpha1.Network{}, enqueue(r.all), builder.WithPredicates(specChanged())).
		Watches(&v1alpha1.QoSClass{}, enqueue(r.all), builder.WithPredicates(specChanged())).
		Watches(&resourcev1.ResourceSlice{}, enqueueLater(r.all)).
		Watches(&resourcev1.ResourceClaim{}, enqueueLater(r.Bandwidth.anew(r.all)), builder.WithPredicates(bookingsChanged())).
		Watches(&corev1.Node{}, enqueueLater(r.withRacks), builder.WithPredicates(placeChanged())).
		Watches(&resourcev1.DeviceClass{}, enqueue(func(_ context.Context, class client.Object) []types.NamespacedName {
			return []types.NamespacedName{{Name: class.GetLabels()[decide.LabelNetwork]}}
		}), builder.WithPredicates(predicate.Or(deletions(), specChanged()))).
		WatchesRawSource(onChange(r.Allocator, r.counted)).
		Complete(r)
}

// counted lets a Network that is being deleted go at once, and has addresses that were set aside recorded at once.
func (r *NetworkReconciler) counted(c change, q queue) {
	if c.racks {
		return // It was this reconciler.
	}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: c.network}}
	if c.aside || c.freed && r.Allocator.Attachments(c.network) == 0 {
		q.Add(request)
		return
	}
	q.AddAfter(request, settle)
}

func (r *NetworkReconciler) all(ctx context.Context, _ client.Object) []types.NamespacedName {
	return r.where(ctx, func(*v1alpha1.Network) bool { return true })
}

func (r *NetworkReconciler) withRacks(ctx context.Context, _ client.Object) []types.NamespacedName {
	return r.where(ctx, func(n *v1alpha1.Network) bool { return decide.TopologyKey(n) != "" })
}

func (r *NetworkReconciler) where(ctx context.Context, match func(*v1alpha1.Network) bool) []types.NamespacedName {
	var networks v1alpha1.NetworkList
	if err := r.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range networks.Items {
		if match(&networks.Items[i]) {
			keys = append(keys, types.NamespacedName{Name: networks.Items[i].Name})
		}
	}
	return keys
}

func (r *AttachmentReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("attachment").
		WithOptions(controller.Options{MaxConcurrentReconciles: attachmentWorkers}).
		For(&v1alpha1.PodNetworkAttachment{}).
		Watches(&corev1.Node{}, enqueue(r.onNode), builder.WithPredicates(nodesThatMayBeGone())).
		Complete(r)
}

func (r *AttachmentReconciler) onNode(ctx context.Context, node client.Object) []types.NamespacedName {
	var attachments v1alpha1.PodNetworkAttachmentList
	if err := r.List(ctx, &attachments, client.MatchingFields{indexNode: node.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range attachments.Items {
		keys = append(keys, client.ObjectKeyFromObject(&attachments.Items[i]))
	}
	return keys
}

type mapping func(context.Context, client.Object) []types.NamespacedName

func requests(ctx context.Context, m mapping, obj client.Object) []reconcile.Request {
	var found []reconcile.Request
	for _, key := range m(ctx, obj) {
		found = append(found, reconcile.Request{NamespacedName: key})
	}
	return found
}

func enqueue(m mapping) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return requests(ctx, m, obj)
	})
}

// enqueueLater enqueues after the settling time.
func enqueueLater(m mapping) handler.EventHandler {
	add := func(ctx context.Context, obj client.Object, q queue) {
		for _, request := range requests(ctx, m, obj) {
			q.AddAfter(request, settle)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { add(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { add(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { add(ctx, e.Object, q) },
	}
}

// onChange gives a controller's queue to a listener of the allocator. Events of the cache would come in no
// order with the books.
func onChange(allocator *Allocator, f func(change, queue)) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		allocator.Listen(func(c change) { f(c, q) })
		return nil
	})
}

func podsThatSelect() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool { return decide.Selects(obj) })
}

// specChanged leaves out what we wrote ourselves: status and finalizers.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
			e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
			!maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

// held is the moment in which a Network got its finalizer: attachments wait for it.
func held() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.FinalizerInUse) &&
			!controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.FinalizerInUse)
	}}
}

// exhaustionChanged is the moment in which a Network has no address left, or has one again.
func exhaustionChanged() predicate.Predicate {
	exhausted := func(obj client.Object) bool {
		network, ok := obj.(*v1alpha1.Network)
		return ok && decide.Exhausted(network)
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return exhausted(e.ObjectOld) != exhausted(e.ObjectNew) }}
}

func deletions() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}

// placeChanged leaves out what kubelets report every few minutes: only labels and addresses say where a node is.
func placeChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*corev1.Node)
		after, ok2 := e.ObjectNew.(*corev1.Node)
		return ok1 && ok2 && (!maps.Equal(before.Labels, after.Labels) || !slices.Equal(before.Status.Addresses, after.Status.Addresses))
	}}
}

// nodesThatMayBeGone leaves out the updates of nodes that change no taint, and nodes that only exist.
func nodesThatMayBeGone() predicate.Predicate {
	outOfService := func(obj client.Object) bool {
		node, ok := obj.(*corev1.Node)
		return ok && decide.NodeCannotRelease(node)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return outOfService(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return outOfService(e.ObjectNew) },
	}
}
