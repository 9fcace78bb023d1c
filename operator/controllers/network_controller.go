package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=networks,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=multinet.dev,resources=networks/status,verbs=patch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=deviceclasses,verbs=get;list;watch;create;patch

// NetworkReconciler compiles Networks for the scheduler and reports on them.
type NetworkReconciler struct {
	client.Client
	Live      client.Reader
	Allocator *Allocator
	Fence     *Fence
	Events    events.EventRecorder
	Bandwidth *bandwidth

	mu sync.Mutex
	// notBefore is when mere numbers of a Network may be written again.
	notBefore map[types.UID]time.Time
}

// Reconcile brings DeviceClass, ResourceClaimTemplates and status of one Network up to date.
func (r *NetworkReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.Allocator.wait(ctx); err != nil {
		return ctrl.Result{}, nil //nolint:nilerr // No longer leader.
	}
	var network v1alpha1.Network
	if err := r.Get(ctx, req.NamespacedName, &network); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("network", network.Name))
	if !network.DeletionTimestamp.IsZero() {
		gone, err := r.finish(ctx, &network)
		if gone || err != nil {
			return ctrl.Result{}, err
		}
		return r.writeStatus(ctx, &network, decide.NetworkFacts{Racks: r.Allocator.CountRacks(&network)})
	}
	if err := r.hold(ctx, &network); err != nil {
		return ctrl.Result{}, err
	}
	return r.compile(ctx, &network)
}

// compile: a spec that cannot be honoured changes nothing but the status; what pods have, they keep.
func (r *NetworkReconciler) compile(ctx context.Context, network *v1alpha1.Network) (ctrl.Result, error) {
	var facts decide.NetworkFacts
	var failed error
	if decide.CheckNetwork(network) == nil {
		if err := r.Allocator.Configure(network); err != nil {
			return ctrl.Result{}, err
		}
		facts.DeviceClassError = r.ensureDeviceClass(ctx, network)
		failed = errors.Join(facts.DeviceClassError, r.refreshClaimTemplates(ctx, network))
	}
	if err := r.gather(ctx, network, &facts); err != nil {
		return ctrl.Result{}, errors.Join(failed, err)
	}
	next, current := r.planRacks(network, &facts)
	if !current {
		return ctrl.Result{RequeueAfter: recordPoll}, failed
	}
	result, err := r.writeStatus(ctx, network, facts)
	result.RequeueAfter = sooner(result.RequeueAfter, next)
	return result, errors.Join(failed, err)
}

// hold adds the finalizer that keeps a Network while pods use it.
func (r *NetworkReconciler) hold(ctx context.Context, network *v1alpha1.Network) error {
	before := network.DeepCopy()
	if !controllerutil.AddFinalizer(network, v1alpha1.FinalizerInUse) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, network, patch); err != nil {
		return fmt.Errorf("network %s: adding its finalizer: %w", network.Name, err)
	}
	return nil
}

// finish lets a Network go when no attachment is left. The API server is asked, since the cache may lag behind
// an attachment that was just created.
func (r *NetworkReconciler) finish(ctx context.Context, network *v1alpha1.Network) (gone bool, err error) {
	if usage := r.Allocator.Usage(network.Name); usage.Attachments > 0 || usage.Reserved > 0 {
		return false, nil
	}
	var left v1alpha1.PodNetworkAttachmentList
	if err := r.Live.List(ctx, &left, client.MatchingFields{"spec.networkName": network.Name}, client.Limit(1)); err != nil {
		return false, fmt.Errorf("network %s: looking for attachments: %w", network.Name, err)
	}
	if len(left.Items) > 0 {
		return false, nil
	}
	before := network.DeepCopy()
	if !controllerutil.RemoveFinalizer(network, v1alpha1.FinalizerInUse) {
		return true, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, network, patch); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("network %s: removing its finalizer: %w", network.Name, err)
	}
	return true, nil
}

func (r *NetworkReconciler) ensureDeviceClass(ctx context.Context, network *v1alpha1.Network) error {
	desired := decide.DeviceClass(network)
	var found resourcev1.DeviceClass
	err := r.Get(ctx, client.ObjectKeyFromObject(desired), &found)
	switch {
	case apierrors.IsNotFound(err):
		err = r.Create(ctx, desired)
		if apierrors.IsAlreadyExists(err) {
			err = fmt.Errorf("it exists without label %s and is not ours; delete it: %w", decide.LabelNetwork, err)
		}
	case err == nil && equality.Semantic.DeepEqual(found.Spec, desired.Spec) && ownedBy(&found, network.UID):
		return nil
	case err == nil:
		before := found.DeepCopy()
		found.Spec, found.OwnerReferences = desired.Spec, desired.OwnerReferences
		err = r.Patch(ctx, &found, client.MergeFrom(before))
	}
	if err != nil {
		return fmt.Errorf("DeviceClass %s: %w", desired.Name, err)
	}
	return nil
}

// refreshClaimTemplates follows changes of QoS classes into the namespaces that have templates already. Those
// whose class is gone stay: pods that name it are refused by the pod reconciler. Those whose class is not allowed any more
// go: without them no new pod can be placed.
func (r *NetworkReconciler) refreshClaimTemplates(ctx context.Context, network *v1alpha1.Network) error {
	var templates resourcev1.ResourceClaimTemplateList
	if err := r.List(ctx, &templates, client.MatchingLabels{decide.LabelNetwork: network.Name}); err != nil {
		return fmt.Errorf("listing ResourceClaimTemplates: %w", err)
	}
	var failed []error
	for i := range templates.Items {
		selected := templates.Items[i].Labels[decide.LabelQoSClass]
		if selected != "" && !decide.AllowsClass(network, selected) {
			failed = append(failed, client.IgnoreNotFound(r.Delete(ctx, &templates.Items[i])))
			continue
		}
		class, found, err := r.class(ctx, selected, network)
		if err == nil && found {
			err = ensureClaimTemplate(ctx, r.Client, decide.ClaimTemplate(templates.Items[i].Namespace, network, selected, class))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// class returns nil, true where neither the selection nor the Network names one.
func (r *NetworkReconciler) class(ctx context.Context, selected string, network *v1alpha1.Network) (*v1alpha1.QoSClass, bool, error) {
	name := selected
	if name == "" {
		name = network.Spec.QoSClassName
	}
	if name == "" {
		return nil, true, nil
	}
	var class v1alpha1.QoSClass
	if err := r.Get(ctx, types.NamespacedName{Name: name}, &class); err != nil {
		return nil, false, client.IgnoreNotFound(err)
	}
	return &class, true, nil
}
