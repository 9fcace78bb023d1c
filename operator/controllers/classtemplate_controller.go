package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// ClassTemplateReconciler has the templates by which pods select a class follow the Networks that offer it. They are made with
// the first pod of their namespace.
type ClassTemplateReconciler struct{ client.Client }

// Reconcile looks at one template. Without a Network that offers the class there is none, so that no new pod can be placed.
func (r *ClassTemplateReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var template resourcev1.ResourceClaimTemplate
	if err := r.Get(ctx, req.NamespacedName, &template); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	class := template.Labels[decide.LabelQoSClass]
	s := decide.PodSnapshot{Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: req.Namespace}}}
	var namespace corev1.Namespace
	if err := r.Get(ctx, types.NamespacedName{Name: req.Namespace}, &namespace); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s.NamespaceLabels = namespace.Labels
	if err := readOffers(ctx, r.Client, &s); err != nil {
		return ctrl.Result{}, fmt.Errorf("ResourceClaimTemplate %s: %w", req, err)
	}
	offers, refusal := s.Offers(class)
	if refusal == nil {
		return ctrl.Result{}, ensureClaimTemplate(ctx, r.Client, decide.ClassTemplate(req.Namespace, s.QoSClasses[class], offers))
	}
	err := r.Delete(ctx, &template, client.Preconditions{UID: &template.UID})
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("ResourceClaimTemplate %s: deleting it, since %s: %w", req, refusal.Message, err)
	}
	return ctrl.Result{}, nil
}

func (r *ClassTemplateReconciler) setup(mgr ctrl.Manager) error {
	ofClass := predicate.NewPredicateFuncs(func(obj client.Object) bool { return obj.GetLabels()[decide.LabelNetwork] == decide.AnyNetwork })
	return ctrl.NewControllerManagedBy(mgr).Named("classtemplate").
		WithOptions(controller.Options{MaxConcurrentReconciles: templateWorkers}).
		For(&resourcev1.ResourceClaimTemplate{}, builder.WithPredicates(ofClass)).
		Watches(&v1alpha1.Network{}, enqueue(r.all), builder.WithPredicates(predicate.Or(specChanged(), exhaustionChanged()))).
		Watches(&v1alpha1.QoSClass{}, enqueue(r.all), builder.WithPredicates(specChanged())).
		Watches(&corev1.Namespace{}, enqueue(func(ctx context.Context, ns client.Object) []types.NamespacedName {
			return r.templates(ctx, client.InNamespace(ns.GetName()))
		}), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Complete(r)
}

func (r *ClassTemplateReconciler) all(ctx context.Context, _ client.Object) []types.NamespacedName {
	return r.templates(ctx)
}

func (r *ClassTemplateReconciler) templates(ctx context.Context, where ...client.ListOption) (keys []types.NamespacedName) {
	var templates resourcev1.ResourceClaimTemplateList
	options := append([]client.ListOption{client.MatchingLabels{decide.LabelNetwork: decide.AnyNetwork}, client.UnsafeDisableDeepCopy}, where...)
	if err := r.List(ctx, &templates, options...); err != nil {
		return nil
	}
	for i := range templates.Items {
		keys = append(keys, client.ObjectKeyFromObject(&templates.Items[i]))
	}
	return keys
}
