package controllers

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups=multinet.dev,resources=networks;qosclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=multinet.dev,resources=podnetworkattachments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaimtemplates,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,namespace=multinet-system,verbs=get;create;update

// PodReconciler plans pods that select networks.
type PodReconciler struct {
	client.Client
	Live      client.Reader
	Allocator *Allocator
	Fence     *Fence
	Events    events.EventRecorder
	Bandwidth *bandwidth

	waiting *waiting
}

// Reconcile plans one pod. It returns an error only for what trying again can cure; a refusal waits for the
// object that it names.
func (r *PodReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var pod corev1.Pod
	if err := r.Get(ctx, req.NamespacedName, &pod); err != nil {
		r.waiting.remove(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case decide.Lingers(&pod):
		r.waiting.remove(req.NamespacedName)
		return ctrl.Result{}, r.deleteAttachments(ctx, &pod)
	case !decide.Selects(&pod) || !pod.DeletionTimestamp.IsZero():
		r.waiting.remove(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err := r.Allocator.wait(ctx); err != nil {
		return ctrl.Result{}, nil //nolint:nilerr // No longer leader.
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("pod", req.String(), "podUID", pod.UID, "node", pod.Spec.NodeName))
	err := r.plan(ctx, &pod)
	switch {
	case errors.Is(err, errClaimsChanged):
		return ctrl.Result{RequeueAfter: claimsPoll}, nil
	case errors.Is(err, errFormerGoing):
		return ctrl.Result{RequeueAfter: formerGrace}, nil
	case errors.Is(err, errDeviceClaimNotReady):
		return ctrl.Result{RequeueAfter: deviceClaimPoll}, nil
	}
	return ctrl.Result{}, err
}

// plan: waiting begins before the snapshot, so that what changes meanwhile wakes the pod again.
func (r *PodReconciler) plan(ctx context.Context, pod *corev1.Pod) error {
	key := client.ObjectKeyFromObject(pod)
	r.waiting.add(key, decide.SelectedNetworks(pod))
	snapshot, err := r.snapshot(ctx, pod)
	if err != nil {
		return fmt.Errorf("pod %s: reading what it selects: %w", key, err)
	}
	planned, refusal := decide.Plan(snapshot)
	switch {
	case decide.Edited(pod):
		refusal, err = r.change(ctx, snapshot, planned, refusal)
	case refusal == nil:
		refusal, err = r.apply(ctx, pod, planned)
	}
	if errors.Is(err, errNotHeld) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pod %s: %w", key, err)
	}
	if refusal != nil {
		err := r.report(ctx, pod, refusal)
		if err == nil && refusal.Reason == v1alpha1.ReasonResourceClaimNotReady {
			err = errDeviceClaimNotReady
		}
		return err
	}
	// What keeps a pod from all nodes now may be bandwidth in a moment, when a device comes back.
	if pod.Spec.NodeName != "" || !unschedulable(pod) {
		r.waiting.remove(key)
	}
	return r.clear(ctx, pod)
}

// apply makes the objects: what the scheduler needs before the pod has a node, what the node needs after.
func (r *PodReconciler) apply(ctx context.Context, pod *corev1.Pod, planned []decide.Planned) (*decide.Refusal, error) {
	if pod.Spec.NodeName != "" {
		return r.attach(ctx, pod, planned)
	}
	for _, p := range planned {
		if p.Selection.OwnClaim() {
			continue
		}
		desired := decide.ClaimTemplate(pod.Namespace, p.Network, p.Selection.QoSClass, p.QoS)
		if p.Selection.ByClass() {
			desired = decide.ClassTemplate(pod.Namespace, p.QoS, p.Offers)
		}
		if err := ensureClaimTemplate(ctx, r.Client, desired); err != nil {
			return nil, err
		}
	}
	return r.noPlace(ctx, pod, planned)
}

func (r *PodReconciler) snapshot(ctx context.Context, pod *corev1.Pod) (decide.PodSnapshot, error) {
	s := decide.PodSnapshot{Pod: pod, Networks: map[string]*v1alpha1.Network{}, QoSClasses: map[string]*v1alpha1.QoSClass{}}
	var namespace corev1.Namespace
	if err := r.Get(ctx, types.NamespacedName{Name: pod.Namespace}, &namespace); client.IgnoreNotFound(err) != nil {
		return s, err
	}
	s.NamespaceLabels = namespace.Labels
	var err error
	if s.Claims, err = r.claims(ctx, pod); err != nil {
		return s, err
	}
	if err = r.readAttached(ctx, &s); err != nil {
		return s, err
	}
	if err = r.readDeviceClaims(ctx, &s); err != nil {
		return s, err
	}
	if decide.ChoosesByClass(pod, s.Attached) {
		if err = readOffers(ctx, r.Client, &s); err != nil {
			return s, err
		}
	}
	if err = r.readNode(ctx, &s); err != nil {
		return s, err
	}
	candidates := s.Candidates()
	r.waitForAll(pod, candidates)
	for _, candidate := range candidates {
		var network v1alpha1.Network
		found, err := r.find(ctx, types.NamespacedName{Name: candidate.Network}, &network)
		if err != nil {
			return s, err
		}
		if !found {
			if err := r.explainAbsence(ctx, &s, candidate.Network); err != nil {
				return s, err
			}
			continue
		}
		s.Networks[network.Name] = &network
		class := decide.QoSClassName(candidate.Selection, &network)
		if class == "" {
			continue
		}
		var qos v1alpha1.QoSClass
		if found, err = r.find(ctx, types.NamespacedName{Name: class}, &qos); err != nil {
			return s, err
		}
		if found {
			s.QoSClasses[class] = &qos
		}
	}
	return s, nil
}

// explainAbsence of a Network that would stand for a NetworkAttachmentDefinition of the pod's namespace.
func (r *PodReconciler) explainAbsence(ctx context.Context, s *decide.PodSnapshot, network string) error {
	namespace, name, stands := netattach.Origin(network)
	if !stands || namespace != s.Pod.Namespace {
		return nil
	}
	definition := &netattach.NetworkAttachmentDefinition{}
	found, err := r.find(ctx, types.NamespacedName{Namespace: namespace, Name: name}, definition)
	if err != nil {
		return err
	}
	if !found {
		definition = nil
	}
	if s.WithoutNetwork == nil {
		s.WithoutNetwork = map[string]string{}
	}
	s.WithoutNetwork[network] = decide.WithoutNetwork(namespace, name, definition, s.NamespaceLabels)
	return nil
}

func (r *PodReconciler) find(ctx context.Context, key types.NamespacedName, obj client.Object) (bool, error) {
	err := r.Get(ctx, key, obj)
	return err == nil, client.IgnoreNotFound(err)
}

// deleteAttachments of a pod that ended. Those of a pod that is gone belong to the garbage collector.
func (r *PodReconciler) deleteAttachments(ctx context.Context, pod *corev1.Pod) error {
	var attachments v1alpha1.PodNetworkAttachmentList
	if err := r.List(ctx, &attachments, client.MatchingFields{indexPodUID: string(pod.UID)}); err != nil {
		return err
	}
	for i := range attachments.Items {
		pna := &attachments.Items[i]
		if !pna.DeletionTimestamp.IsZero() {
			continue
		}
		err := r.Delete(ctx, pna, client.Preconditions{UID: &pna.UID})
		if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting attachment %s of a pod that ended: %w", client.ObjectKeyFromObject(pna), err)
		}
	}
	return nil
}
