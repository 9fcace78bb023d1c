package controllers

import (
	"context"
	"fmt"
	"strings"
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

const (
	// recordPoll is how often the cache is looked at for the record that the Network's reconciler writes.
	recordPoll = 200 * time.Millisecond
	// replacePoll is how often it is looked whether a Network takes pods again.
	replacePoll = time.Minute
)

// replaceContested sets the addresses aside that another machine has, and deletes the attachment once that is recorded
// in the Network's status: an operator that starts in between must not give them out again. The pod's reconciler makes
// a new attachment of the same name when the agent has released this one.
func (r *AttachmentReconciler) replaceContested(ctx context.Context, cached *v1alpha1.PodNetworkAttachment) (ctrl.Result, error) {
	if len(decide.Conflicts(cached)) == 0 {
		return ctrl.Result{}, nil
	}
	if err := r.Allocator.wait(ctx); err != nil {
		return ctrl.Result{}, nil //nolint:nilerr // No longer leader.
	}
	var live v1alpha1.PodNetworkAttachment
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(cached), &live); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	conflicts := decide.Conflicts(&live)
	if live.UID != cached.UID || len(conflicts) == 0 {
		return ctrl.Result{}, nil
	}
	pod, network, err := r.podAndNetwork(ctx, &live)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !decide.Replaceable(&live, pod, network) {
		return ctrl.Result{RequeueAfter: replacePoll}, nil
	}
	r.Allocator.SetAside(network.Name, conflicts, time.Now())
	if !decide.Recorded(network, conflicts) {
		return ctrl.Result{RequeueAfter: recordPoll}, nil
	}
	return ctrl.Result{}, r.endContested(ctx, &live, pod, network, conflicts)
}

// podAndNetwork returns nil for what does not exist.
func (r *AttachmentReconciler) podAndNetwork(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) (*corev1.Pod, *v1alpha1.Network, error) {
	pod, network := &corev1.Pod{}, &v1alpha1.Network{}
	err := r.Get(ctx, types.NamespacedName{Namespace: pna.Namespace, Name: pna.Spec.Pod.Name}, pod)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("its pod: %w", err)
	}
	err = r.Get(ctx, types.NamespacedName{Name: pna.Spec.NetworkName}, network)
	if apierrors.IsNotFound(err) {
		return pod, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("its network: %w", err)
	}
	return pod, network, nil
}

// endContested deletes the attachment and tells why.
func (r *AttachmentReconciler) endContested(ctx context.Context, pna *v1alpha1.PodNetworkAttachment, pod *corev1.Pod,
	network *v1alpha1.Network, conflicts []ipam.Aside) error {
	if err := r.deleteAsRead(ctx, pna); err != nil {
		return err
	}
	var texts []string
	for _, c := range conflicts {
		texts = append(texts, fmt.Sprintf("%s (%s)", c.Addr, c.By))
	}
	addresses := strings.Join(texts, ", ")
	ctrl.LoggerFrom(ctx).Info("addresses set aside, attachment replaced", "addresses", addresses)
	r.Events.Eventf(pod, pna, corev1.EventTypeWarning, v1alpha1.ReasonDuplicateAddress, "Replace", "%s", note(fmt.Sprintf(
		"Another machine uses %s of network %s; the pod gets another address.", addresses, network.Name)))
	r.Events.Eventf(network, pna, corev1.EventTypeWarning, v1alpha1.ReasonDuplicateAddress, "SetAside", "%s", note(fmt.Sprintf(
		"Another machine uses %s, as node %s saw; not given out for %s. Exclude what is not ours from spec.ipam.ranges.",
		addresses, pna.Spec.NodeName, ipam.AsideTime)))
	return nil
}
