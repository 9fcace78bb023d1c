package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=addressclaims,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=multinet.dev,resources=addressclaims/status,verbs=patch

// conflictPause is enough for the cache to catch up.
const conflictPause = 200 * time.Millisecond

// AddressClaimReconciler has claims hold their addresses, tells whether they do, and deletes those that the operator made
// when their time is over.
type AddressClaimReconciler struct {
	client.Client
	Live      client.Reader
	Allocator *Allocator
	Fence     *Fence
	Events    events.EventRecorder

	mu sync.Mutex
	// unused is since when claims had no pod, as far as this process has seen.
	unused map[types.NamespacedName]time.Time
}

// Reconcile looks at one claim.
func (r *AddressClaimReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.Allocator.wait(ctx); err != nil {
		return ctrl.Result{}, nil //nolint:nilerr // No longer leader.
	}
	var claim v1alpha1.AddressClaim
	if err := r.Get(ctx, req.NamespacedName, &claim); err != nil {
		r.used(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !claim.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	facts, err := r.gather(ctx, &claim)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("address claim %s: %w", req, err)
	}
	if facts.Expired() {
		return ctrl.Result{}, r.end(ctx, &claim)
	}
	err = r.writeStatus(ctx, &claim, decide.ClaimStatus(facts))
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil // The cache is behind what was written just now.
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("address claim %s: status: %w", req, err)
	}
	return ctrl.Result{RequeueAfter: facts.Next()}, nil
}

// gather also has the claim hold what it may, and give back what it may not.
func (r *AddressClaimReconciler) gather(ctx context.Context, claim *v1alpha1.AddressClaim) (decide.ClaimFacts, error) {
	facts := decide.ClaimFacts{Claim: claim, Now: metav1.Now()}
	var network v1alpha1.Network
	err := r.Get(ctx, types.NamespacedName{Name: claim.Spec.NetworkName}, &network)
	if client.IgnoreNotFound(err) != nil {
		return facts, err
	}
	if err == nil {
		facts.Network = &network
	}
	labels, err := namespaceLabels(ctx, r.Client, claim.Namespace)
	if err != nil {
		return facts, err
	}
	facts.Problem = decide.CheckClaim(claim, facts.Network, labels)
	if err := r.hold(ctx, claim, facts); err != nil {
		return facts, err
	}
	obstacle, attached := r.Allocator.InTheWay(claim.UID, facts.Now.Time)
	facts.InTheWay = obstacle
	var pod corev1.Pod
	err = r.Get(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Spec.PodName}, &pod)
	if client.IgnoreNotFound(err) != nil {
		return facts, err
	}
	if err == nil || attached {
		r.used(client.ObjectKeyFromObject(claim))
	} else {
		facts.UnusedSince = r.unusedSince(claim, facts.Now.Time)
	}
	return facts, nil
}

func (r *AddressClaimReconciler) hold(ctx context.Context, claim *v1alpha1.AddressClaim, facts decide.ClaimFacts) error {
	switch holds, known := decide.Holds(facts.Problem); {
	case !known:
		return nil
	case !holds:
		r.Allocator.ForgetClaim(claim.UID, facts.Now.Time)
		return nil
	}
	if err := r.Allocator.Configure(facts.Network); err != nil {
		return err
	}
	return holdClaim(ctx, r.Client, r.Allocator, claim)
}

func (r *AddressClaimReconciler) used(claim types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unused, claim)
}

// unusedSince is what was recorded, or what this process has seen: the time until it is recorded begins anew when the
// operator does.
func (r *AddressClaimReconciler) unusedSince(claim *v1alpha1.AddressClaim, now time.Time) time.Time {
	if since := claim.Status.UnusedSince; since != nil {
		return since.Time
	}
	key := client.ObjectKeyFromObject(claim)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unused[key].IsZero() {
		r.unused[key] = now
	}
	return r.unused[key]
}

// writeStatus: the version is a precondition, since a leader of before may not bring back a time that is over.
func (r *AddressClaimReconciler) writeStatus(ctx context.Context, claim *v1alpha1.AddressClaim, status v1alpha1.AddressClaimStatus) error {
	if equality.Semantic.DeepEqual(status, claim.Status) {
		return nil
	}
	before := claim.DeepCopy()
	claim.Status = status
	err := r.Status().Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	old := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.AddressClaimConditionReserved)
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.AddressClaimConditionReserved); c.Status == metav1.ConditionFalse &&
		(old == nil || old.Reason != c.Reason) {
		r.Events.Eventf(claim, nil, corev1.EventTypeWarning, c.Reason, "Reserve", "%s", note(c.Message))
	}
	return nil
}

// end deletes a claim whose retention is over, after a look at the API server: the cache may not show the pod yet.
func (r *AddressClaimReconciler) end(ctx context.Context, claim *v1alpha1.AddressClaim) error {
	key := client.ObjectKeyFromObject(claim)
	var pod corev1.Pod
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Spec.PodName}, &pod)
	if err == nil {
		return fmt.Errorf("address claim %s: pod %s exists, which the cache does not show yet", key, pod.Name)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("address claim %s: looking for its pod: %w", key, err)
	}
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	version := claim.ResourceVersion
	err = r.Delete(guarded, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("address claim %s: deleting it when nobody used it: %w", key, err)
	}
	ctrl.LoggerFrom(ctx).Info("address claim deleted, its pod has not come back", "network", claim.Spec.NetworkName, "pod", claim.Spec.PodName)
	return nil
}
