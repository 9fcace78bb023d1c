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
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// errNotHeld: the Network has no finalizer yet, so it could go away under the attachment. The pod waits.
var errNotHeld = errors.New("the Network is not held yet")

// attach creates the attachments that a bound pod lacks. One that the allocator leaves out was just made, or its
// deletion is about to be seen, which wakes the pod.
func (r *PodReconciler) attach(ctx context.Context, pod *corev1.Pod, planned []decide.Planned) (*decide.Refusal, error) {
	for _, p := range planned {
		if !controllerutil.ContainsFinalizer(p.Network, v1alpha1.FinalizerInUse) {
			return nil, errNotHeld
		}
	}
	existing, err := r.existing(ctx, pod)
	if err != nil {
		return nil, fmt.Errorf("listing its attachments: %w", err)
	}
	wanted := map[types.NamespacedName]decide.Planned{}
	var wants []Want
	for _, p := range planned {
		key := types.NamespacedName{Namespace: pod.Namespace, Name: decide.AttachmentName(pod.Name, pod.UID, p.Selection.Interface)}
		if existing[key.Name] != nil {
			continue
		}
		if err := r.Allocator.Configure(p.Network); err != nil {
			return nil, err
		}
		want := Want{Network: p.Network.Name, Key: key}
		refusal, err := r.place(ctx, pod.Spec.NodeName, &p, &want)
		if refusal == nil && err == nil {
			refusal, err = r.useClaim(ctx, pod, p, &want)
		}
		if refusal != nil || err != nil {
			return refusal, err
		}
		if p.Choice, err = r.choice(ctx, pod, p); err != nil {
			return nil, err
		}
		wanted[key] = p
		wants = append(wants, want)
	}
	assigned, err := r.Allocator.Reserve(wants, time.Now())
	if err == nil {
		err = r.keep(ctx, pod, wanted, assigned)
	}
	if err != nil {
		return r.blocked(ctx, pod, wants, err)
	}
	var missing []*v1alpha1.PodNetworkAttachment
	for key, addresses := range assigned {
		missing = append(missing, decide.Attachment(pod, r.placed(key, wanted[key]), addresses))
	}
	return nil, r.create(ctx, missing)
}

// existing returns the pod's attachments in the cache by name. They must not be changed.
func (r *PodReconciler) existing(ctx context.Context, pod *corev1.Pod) (map[string]*v1alpha1.PodNetworkAttachment, error) {
	var attachments v1alpha1.PodNetworkAttachmentList
	err := r.List(ctx, &attachments, client.InNamespace(pod.Namespace),
		client.MatchingFields{indexPodUID: string(pod.UID)}, client.UnsafeDisableDeepCopy)
	byName := map[string]*v1alpha1.PodNetworkAttachment{}
	for i := range attachments.Items {
		byName[attachments.Items[i].Name] = &attachments.Items[i]
	}
	return byName, err
}

func (r *PodReconciler) create(ctx context.Context, missing []*v1alpha1.PodNetworkAttachment) error {
	var failed []error
	for _, pna := range missing {
		if err := r.createOne(ctx, pna); err != nil {
			failed = append(failed, fmt.Errorf("creating attachment %s to network %s: %w", pna.Name, pna.Spec.NetworkName, err))
		}
	}
	return errors.Join(failed...)
}

// createOne keeps the reservation until it is certain whether the object exists: after a timeout it might.
func (r *PodReconciler) createOne(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) error {
	key := client.ObjectKeyFromObject(pna)
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = r.Create(guarded, pna)
	switch {
	case err == nil:
		r.Allocator.Settle(pna)
		ctrl.LoggerFrom(ctx).V(1).Info("attachment created", "network", pna.Spec.NetworkName,
			"interface", pna.Spec.Interface, "addresses", pna.Spec.Addresses)
		return nil
	case apierrors.IsAlreadyExists(err):
		return r.adopt(ctx, key, pna.Spec.Pod.UID)
	case refusedForCertain(err):
		r.Allocator.Refused(key)
	default:
		r.Allocator.Sent(key)
	}
	return err
}

// adopt takes the stored attachment's addresses for granted, whatever we had reserved.
func (r *PodReconciler) adopt(ctx context.Context, key types.NamespacedName, podUID types.UID) error {
	var stored v1alpha1.PodNetworkAttachment
	if err := r.Live.Get(ctx, key, &stored); err != nil {
		return fmt.Errorf("reading the one that exists: %w", err)
	}
	if stored.Spec.Pod.UID != podUID {
		return fmt.Errorf("an object of that name belongs to pod UID %q, delete it", stored.Spec.Pod.UID)
	}
	r.Allocator.Settle(&stored)
	return nil
}

// refusedForCertain tells errors that the API server answers before it stores anything.
func refusedForCertain(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsUnauthorized(err) || apierrors.IsTooManyRequests(err)
}
