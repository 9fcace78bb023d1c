package controllers

import (
	"context"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// A class is looked at at once when it changes. What it only counts comes in bursts.
func (r *QoSClassReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("qosclass").
		WithOptions(controller.Options{MaxConcurrentReconciles: classWorkers}).
		For(&v1alpha1.QoSClass{}, builder.WithPredicates(specChanged())).
		Watches(&v1alpha1.PodNetworkAttachment{}, enqueueLater(classOfAttachment)).
		Watches(&v1alpha1.Network{}, classesOfNetwork(), builder.WithPredicates(specChanged())).
		Watches(&resourcev1.ResourceClaim{}, enqueueLater(r.classesOfClaim), builder.WithPredicates(bookingsChanged())).
		Complete(r)
}

func classOfAttachment(_ context.Context, obj client.Object) []types.NamespacedName {
	pna, ok := obj.(*v1alpha1.PodNetworkAttachment)
	if !ok || pna.Spec.QoS == nil {
		return nil
	}
	return []types.NamespacedName{{Name: pna.Spec.QoS.ClassName}}
}

// classesOfNetwork are the one that a Network names and the one that it named: that may go now.
func classesOfNetwork() handler.EventHandler {
	add := func(obj client.Object, q queue) {
		if network, ok := obj.(*v1alpha1.Network); ok && network.Spec.QoSClassName != "" {
			q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: network.Spec.QoSClassName}})
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectOld, q); add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(e.Object, q) },
	}
}

// classesOfClaim are those of the attachments of the claim's pod: what is set aside for them is known now.
func (r *QoSClassReconciler) classesOfClaim(ctx context.Context, claim client.Object) (classes []types.NamespacedName) {
	pod := metav1.GetControllerOf(claim)
	if pod == nil {
		return nil
	}
	var attachments v1alpha1.PodNetworkAttachmentList
	err := r.List(ctx, &attachments, client.InNamespace(claim.GetNamespace()), client.MatchingFields{indexPodUID: string(pod.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil
	}
	for i := range attachments.Items {
		classes = append(classes, classOfAttachment(ctx, &attachments.Items[i])...)
	}
	return classes
}
