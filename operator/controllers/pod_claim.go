package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=addressclaims,verbs=get;list;watch;create;delete

const (
	// claimsPoll is how soon a pod is planned anew whose claims changed in between.
	claimsPoll = 50 * time.Millisecond
	// formerGrace is how long a new pod waits for the former one's attachment before it says so. A StatefulSet makes the next
	// pod when the former one is gone, and its attachment goes in the moment after that.
	formerGrace = 3 * time.Second
)

// errFormerGoing: the former pod's attachment is about to go, which wakes the pod.
var errFormerGoing = errors.New("the former pod's attachment is not gone yet")

// claims for the pods of the name, as the cache shows them and as the books have them: a claim that was read from the API
// server because its name was taken stands there before the cache shows it.
func (r *PodReconciler) claims(ctx context.Context, pod *corev1.Pod) ([]*v1alpha1.AddressClaim, error) {
	key := client.ObjectKeyFromObject(pod)
	var cached v1alpha1.AddressClaimList
	if err := r.List(ctx, &cached, client.InNamespace(pod.Namespace), client.MatchingFields{indexClaimPod: key.String()}); err != nil {
		return nil, fmt.Errorf("listing address claims: %w", err)
	}
	claims := r.Allocator.ClaimsOf(key)
	known := map[string]bool{}
	for _, claim := range claims {
		known[claim.Name] = true
	}
	for i := range cached.Items {
		if !known[cached.Items[i].Name] {
			claims = append(claims, &cached.Items[i])
		}
	}
	return claims, nil
}

// useClaim has the want get what the claim of its interface names.
func (r *PodReconciler) useClaim(ctx context.Context, pod *corev1.Pod, p decide.Planned, want *Want) (*decide.Refusal, error) {
	want.Pod, want.Asked = client.ObjectKeyFromObject(pod), p.Asked
	if p.Claim == nil {
		return nil, nil
	}
	if p.Outdated != "" {
		return nil, r.replaceClaim(ctx, pod, p.Claim, p.Outdated)
	}
	if refusal := decide.CheckClaimRack(pod, p); refusal != nil {
		return refusal, nil
	}
	want.Claim = p.Claim.UID
	if r.Allocator.Holds(p.Claim.UID) {
		return nil, nil
	}
	return nil, holdClaim(ctx, r.Client, r.Allocator, p.Claim)
}

// blocked tells what a pod waits for, which holds nothing meanwhile. A claim that the operator made gives way to whoever
// else has the addresses; it is made anew.
func (r *PodReconciler) blocked(ctx context.Context, pod *corev1.Pod, wants []Want, err error) (*decide.Refusal, error) {
	refusal := refusalOf(err)
	var blocked *blockedError
	if errors.As(err, &blocked) {
		if blocked.claim != nil && decide.IsSticky(blocked.claim) && !blocked.own {
			return nil, r.replaceClaim(ctx, pod, blocked.claim, blocked.why)
		}
		if blocked.own && time.Since(pod.CreationTimestamp.Time) < formerGrace {
			return nil, errFormerGoing
		}
		refusal = blocked.refusal()
	}
	if refusal == nil {
		return nil, err
	}
	for _, want := range wants {
		r.Allocator.Refused(want.Key)
	}
	return refusal, nil
}

// replaceClaim deletes a claim that cannot be kept. The pod is planned anew, and gets another.
func (r *PodReconciler) replaceClaim(ctx context.Context, pod *corev1.Pod, claim *v1alpha1.AddressClaim, why string) error {
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = r.Delete(guarded, claim.DeepCopy(), client.Preconditions{UID: &claim.UID})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("replacing AddressClaim %s: %w", claim.Name, err)
	}
	r.Allocator.ForgetClaim(claim.UID, time.Now())
	if err == nil {
		ctrl.LoggerFrom(ctx).Info("address claim replaced", "claim", claim.Name, "because", why)
		r.Events.Eventf(pod, nil, corev1.EventTypeWarning, v1alpha1.ReasonAddressClaim, "Replace", "%s",
			note(fmt.Sprintf("The pod gets other addresses than before on network %s: %s.", claim.Spec.NetworkName, why)))
	}
	return errClaimsChanged
}

// keep makes the claims of sticky Networks, before the attachments: whatever happens after that, the next pod of the name
// finds the addresses. It fills in the claims.
func (r *PodReconciler) keep(ctx context.Context, pod *corev1.Pod, wanted map[types.NamespacedName]decide.Planned,
	assigned map[types.NamespacedName][]ipam.Assignment) error {
	for key, addresses := range assigned {
		p := wanted[key]
		if p.Claim != nil || p.Asked != nil || !decide.KeepsAddresses(p.Network) {
			continue
		}
		claim, err := r.keepOne(ctx, key, decide.StickyClaim(pod, p, addresses))
		if err != nil {
			return err
		}
		p.Claim = claim
		wanted[key] = p
	}
	return nil
}

// keepOne keeps the reservation until it is certain whether the claim exists.
func (r *PodReconciler) keepOne(ctx context.Context, key types.NamespacedName, claim *v1alpha1.AddressClaim) (*v1alpha1.AddressClaim, error) {
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	wanted := claim.Spec
	err = r.Create(guarded, claim)
	switch {
	case err == nil:
	case apierrors.IsAlreadyExists(err):
		if claim, err = r.storedClaim(ctx, client.ObjectKeyFromObject(claim), wanted); err != nil {
			return nil, err
		}
	case refusedForCertain(err):
		r.Allocator.Refused(key)
		return nil, fmt.Errorf("creating AddressClaim %s: %w", claim.Name, err)
	default:
		r.Allocator.Keeping(key)
		return nil, fmt.Errorf("creating AddressClaim %s: %w", claim.Name, err)
	}
	r.Allocator.HoldClaim(claim)
	if !r.Allocator.Kept(key, claim) {
		return nil, errClaimsChanged
	}
	return claim, nil
}

// storedClaim is the one that another operator made, or we when the answer was lost.
func (r *PodReconciler) storedClaim(ctx context.Context, key types.NamespacedName, wanted v1alpha1.AddressClaimSpec) (*v1alpha1.AddressClaim, error) {
	stored := &v1alpha1.AddressClaim{}
	if err := r.Live.Get(ctx, key, stored); err != nil {
		return nil, fmt.Errorf("reading the AddressClaim %s that exists: %w", key.Name, err)
	}
	if s := stored.Spec; s.NetworkName != wanted.NetworkName || s.PodName != wanted.PodName || s.Interface != wanted.Interface {
		return nil, fmt.Errorf("AddressClaim %s is for pod %q on network %q, delete it", key.Name, s.PodName, s.NetworkName)
	}
	return stored, nil
}
