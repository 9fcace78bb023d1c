package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=podnetworkattachments,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// AttachmentReconciler releases attachments that no agent can release, ends duplicates, and replaces attachments
// whose address another machine has.
type AttachmentReconciler struct {
	client.Client
	Live      client.Reader
	Allocator *Allocator
	Fence     *Fence
	Events    events.EventRecorder
}

// Reconcile looks at one attachment. What it removes it has confirmed with the API server: caches may be late.
func (r *AttachmentReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var pna v1alpha1.PodNetworkAttachment
	if err := r.Get(ctx, req.NamespacedName, &pna); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("pod", pna.Namespace+"/"+pna.Spec.Pod.Name,
		"podUID", pna.Spec.Pod.UID, "network", pna.Spec.NetworkName, "interface", pna.Spec.Interface, "node", pna.Spec.NodeName))
	if !pna.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.releaseWithoutNode(ctx, &pna)
	}
	for _, key := range addressKeys(&pna) {
		if err := r.resolveDuplicates(ctx, key); err != nil {
			return ctrl.Result{}, fmt.Errorf("duplicates of %s: %w", key, err)
		}
	}
	result, err := r.replaceContested(ctx, &pna)
	if err != nil {
		return result, fmt.Errorf("replacing attachment %s, whose address another machine has: %w", req, err)
	}
	return result, nil
}

// releaseWithoutNode removes the finalizer where the node object is gone or declared out of service.
func (r *AttachmentReconciler) releaseWithoutNode(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) error {
	if !controllerutil.ContainsFinalizer(pna, v1alpha1.FinalizerRelease) {
		return nil
	}
	for _, reader := range []client.Reader{r.Client, r.Live} {
		node, err := nodeOrNil(ctx, reader, pna.Spec.NodeName)
		if err != nil {
			return fmt.Errorf("node %s: %w", pna.Spec.NodeName, err)
		}
		if !decide.NodeCannotRelease(node) {
			return nil
		}
	}
	before := pna.DeepCopy()
	controllerutil.RemoveFinalizer(pna, v1alpha1.FinalizerRelease)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, pna, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("attachment %s: releasing without its node: %w", client.ObjectKeyFromObject(pna), err)
	}
	ctrl.LoggerFrom(ctx).Info("released without the agent: the node is gone or out of service")
	return nil
}

func nodeOrNil(ctx context.Context, reader client.Reader, name string) (*corev1.Node, error) {
	var node corev1.Node
	err := reader.Get(ctx, types.NamespacedName{Name: name}, &node)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return &node, err
}

// resolveDuplicates is the last line against two leaders: every event looks whether an address has two records.
func (r *AttachmentReconciler) resolveDuplicates(ctx context.Context, addressKey string) error {
	var cached v1alpha1.PodNetworkAttachmentList
	err := r.List(ctx, &cached, client.MatchingFields{indexAddress: addressKey}, client.UnsafeDisableDeepCopy)
	if err != nil || len(cached.Items) < 2 {
		return err
	}
	var sharing []*v1alpha1.PodNetworkAttachment
	for i := range cached.Items {
		live := &v1alpha1.PodNetworkAttachment{}
		err := r.Live.Get(ctx, client.ObjectKeyFromObject(&cached.Items[i]), live)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err == nil && live.UID == cached.Items[i].UID {
			sharing = append(sharing, live)
		}
	}
	victims := decide.Duplicates(sharing)
	for _, victim := range victims {
		if err := r.endDuplicate(ctx, victim, addressKey); err != nil {
			return err
		}
	}
	r.reportReadyDuplicates(ctx, sharing, addressKey)
	return nil
}

// deleteAsRead deletes an attachment that is not Ready; the resource version makes sure that it did not become
// so since. Its pod gets another one when the agent has confirmed the release.
func (r *AttachmentReconciler) deleteAsRead(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) error {
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	version := pna.ResourceVersion
	err = r.Delete(guarded, pna, client.Preconditions{UID: &pna.UID, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %s: %w", client.ObjectKeyFromObject(pna), err)
	}
	return nil
}

// endDuplicate deletes an attachment whose address an older one records too.
func (r *AttachmentReconciler) endDuplicate(ctx context.Context, victim *v1alpha1.PodNetworkAttachment, addressKey string) error {
	if err := r.deleteAsRead(ctx, victim); err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("duplicate deleted", "address", addressKey, "attachment", client.ObjectKeyFromObject(victim))
	r.Events.Eventf(victim, nil, corev1.EventTypeWarning, v1alpha1.ReasonDuplicateAddress, "Delete",
		"%s", note("Address "+addressKey+" is recorded by an older attachment too; this one was not in use and is replaced."))
	return nil
}

// reportReadyDuplicates: what carries traffic is never taken away; a person has to choose.
func (r *AttachmentReconciler) reportReadyDuplicates(ctx context.Context, sharing []*v1alpha1.PodNetworkAttachment, addressKey string) {
	var ready []*v1alpha1.PodNetworkAttachment
	for _, pna := range sharing {
		if decide.Ready(pna) && pna.DeletionTimestamp.IsZero() {
			ready = append(ready, pna)
		}
	}
	if len(ready) < 2 {
		return
	}
	ctrl.LoggerFrom(ctx).Error(nil, "two attachments are ready with one address", "address", addressKey)
	for _, pna := range ready {
		r.Events.Eventf(pna, nil, corev1.EventTypeWarning, v1alpha1.ReasonDuplicateAddress, "Check",
			"%s", note("Address "+addressKey+" is in use by another Ready attachment too; delete one of the pods."))
	}
}
