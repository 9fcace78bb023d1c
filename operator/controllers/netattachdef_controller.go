package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=multinet.dev,resources=networks,verbs=create;delete

// DefinitionReconciler keeps a Network for each NetworkAttachmentDefinition that one can stand for. Only in namespaces with
// the label, which is for admins to set: whoever may write a definition would otherwise have any NIC of the cluster. CNI plugins
// need one more.
type DefinitionReconciler struct {
	client.Client
	Events events.EventRecorder
}

func (r *DefinitionReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("netattachdef").
		For(&netattach.NetworkAttachmentDefinition{}).
		// Those of definitions that were deleted while no operator ran are found by the first list.
		Watches(&v1alpha1.Network{}, enqueue(origin), builder.WithPredicates(predicate.Or(specChanged(), deletions()))).
		Watches(&corev1.Namespace{}, enqueue(r.inNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Complete(r)
}

func (r *DefinitionReconciler) inNamespace(ctx context.Context, namespace client.Object) []types.NamespacedName {
	var list netattach.NetworkAttachmentDefinitionList
	if err := r.List(ctx, &list, client.InNamespace(namespace.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	return keys
}

// origin is the definition that a Network stands for.
func origin(_ context.Context, network client.Object) []types.NamespacedName {
	if from := network.GetAnnotations()[netattach.AnnotationOrigin]; from != "" {
		return []types.NamespacedName{keyOf(from)}
	}
	return nil
}

// Reconcile makes the Network of one definition what the definition says.
func (r *DefinitionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var definition netattach.NetworkAttachmentDefinition
	err := r.Get(ctx, req.NamespacedName, &definition)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	labels, errNamespace := r.labels(ctx, req.Namespace)
	if errNamespace != nil {
		return ctrl.Result{}, errNamespace
	}
	wanted := labels[netattach.LabelDefinitions] == netattach.LabelDefinitionsNative
	var desired *v1alpha1.Network
	if err == nil && wanted && definition.DeletionTimestamp.IsZero() {
		var verdict netattach.Verdict
		var text string
		if desired, verdict, text = decide.DerivedNetwork(&definition, labels); desired == nil {
			r.warn(&definition, reasonOf[verdict], text)
		}
	}
	if err := r.ensure(ctx, req.NamespacedName, &definition, desired); err != nil {
		return ctrl.Result{}, fmt.Errorf("the Network of NetworkAttachmentDefinition %s: %w", req.NamespacedName, err)
	}
	return ctrl.Result{}, nil
}

// labels are those of a namespace, none where it is gone.
func (r *DefinitionReconciler) labels(ctx context.Context, name string) (map[string]string, error) {
	var namespace corev1.Namespace
	err := r.Get(ctx, types.NamespacedName{Name: name}, &namespace)
	return namespace.Labels, client.IgnoreNotFound(err)
}

var reasonOf = map[netattach.Verdict]string{
	netattach.Delegated: v1alpha1.ReasonDefinitionDelegated, netattach.Refused: v1alpha1.ReasonDefinitionRefused,
}

func (r *DefinitionReconciler) warn(definition *netattach.NetworkAttachmentDefinition, reason, text string) {
	r.Events.Eventf(definition, nil, corev1.EventTypeWarning, reason, "Translate", "%s", note(text))
}

// ensure: absent → create, wrong → change, right → leave; without a desired one it goes. A Network that others made is left
// alone, and one that is going is waited for.
func (r *DefinitionReconciler) ensure(ctx context.Context, key types.NamespacedName, definition *netattach.NetworkAttachmentDefinition, desired *v1alpha1.Network) error {
	var found v1alpha1.Network
	err := r.Get(ctx, types.NamespacedName{Name: netattach.NetworkName(key.Namespace, key.Name)}, &found)
	switch {
	case apierrors.IsNotFound(err) && desired == nil:
		return nil
	case apierrors.IsNotFound(err):
		return r.Create(ctx, desired)
	case err != nil || !found.DeletionTimestamp.IsZero():
		return err
	case found.Annotations[netattach.AnnotationOrigin] != key.String():
		if desired != nil {
			r.warn(definition, v1alpha1.ReasonDefinitionNameTaken, fmt.Sprintf("Network %s is somebody else's", found.Name))
		}
		return nil
	case desired == nil:
		return client.IgnoreNotFound(r.Delete(ctx, &found, client.Preconditions{UID: &found.UID}))
	case equality.Semantic.DeepEqual(found.Spec, desired.Spec):
		return nil
	}
	before := found.DeepCopy()
	found.Spec = desired.Spec
	err = r.Patch(ctx, &found, client.MergeFrom(before))
	if apierrors.IsInvalid(err) {
		// What cannot change stays as it is; trying again is of no use.
		r.warn(definition, v1alpha1.ReasonDefinitionUnchangeable, err.Error())
		return nil
	}
	return err
}
