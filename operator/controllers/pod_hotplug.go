package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=list

// readNode reads what decides whether an edited pod can be given an interface where it is.
func (r *PodReconciler) readNode(ctx context.Context, s *decide.PodSnapshot) error {
	if !decide.Edited(s.Pod) {
		return nil
	}
	published, err := r.published(ctx)
	if err != nil {
		return err
	}
	var quotas corev1.ResourceQuotaList
	if err := r.Live.List(ctx, &quotas, client.InNamespace(s.Pod.Namespace)); err != nil {
		return fmt.Errorf("listing ResourceQuotas: %w", err)
	}
	s.Slices, s.Quotas = published, quotas.Items
	return nil
}

// change has interfaces of a running pod go that it does not select any more, and makes those that it selects now. Each is for
// itself: one that cannot be had does not keep the others away.
func (r *PodReconciler) change(ctx context.Context, s decide.PodSnapshot, planned []decide.Planned, refused *decide.Refusal) (*decide.Refusal, error) {
	failed := []error{r.detach(ctx, s)}
	var notHeld error
	for _, p := range planned {
		refusal, err := r.attach(ctx, s.Pod, []decide.Planned{p})
		if errors.Is(err, errNotHeld) {
			notHeld = err
		} else {
			failed = append(failed, err)
		}
		refused = cmp.Or(refused, refusal)
	}
	return refused, cmp.Or(errors.Join(failed...), notHeld)
}

// detach looks at the pod once more: the cache of a new leader may be older than the attachments, and an interface that the pod
// selects must not go.
func (r *PodReconciler) detach(ctx context.Context, s decide.PodSnapshot) error {
	unselected := s.Unselected()
	if len(unselected) == 0 {
		return nil
	}
	var live corev1.Pod
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.Pod), &live); err != nil {
		return client.IgnoreNotFound(err)
	}
	const networks = v1alpha1.AnnotationNetworks
	if live.UID != s.Pod.UID || live.Annotations[networks] != s.Pod.Annotations[networks] {
		return nil // It is about to be seen.
	}
	var failed []error
	for _, pna := range unselected {
		if err := r.detachOne(ctx, pna); err != nil {
			failed = append(failed, fmt.Errorf("detaching interface %s from network %q: %w", pna.Spec.Interface, pna.Spec.NetworkName, err))
		}
	}
	return errors.Join(failed...)
}

// detachOne tells the node first that the pod goes on without the interface.
func (r *PodReconciler) detachOne(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) error {
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if !pna.Spec.Detach {
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pna.UID}, "spec": map[string]any{"detach": true}})
		if err != nil {
			return err
		}
		target := &v1alpha1.PodNetworkAttachment{}
		target.Namespace, target.Name = pna.Namespace, pna.Name
		if err := r.Patch(guarded, target, client.RawPatch(types.MergePatchType, body)); ignoreGone(err) != nil {
			return err
		}
	}
	if !pna.DeletionTimestamp.IsZero() {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("interface is taken off a running pod", "network", pna.Spec.NetworkName, "interface", pna.Spec.Interface)
	return ignoreGone(r.Delete(guarded, pna.DeepCopy(), client.Preconditions{UID: &pna.UID}))
}

// ignoreGone takes an object that is gone, or is another of its name, for one that was dealt with.
func ignoreGone(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}
