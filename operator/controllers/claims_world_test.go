package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

func sticky(retention time.Duration) edit {
	return func(n *v1alpha1.Network) {
		n.Spec.IPAM.Sticky, n.Spec.IPAM.Retention = v1alpha1.StickyPodName, &metav1.Duration{Duration: retention}
	}
}

// claim creates one that a user wrote.
func (w *world) claim(name, network, pod, mac string, addresses ...string) *v1alpha1.AddressClaim {
	w.t.Helper()
	c := &v1alpha1.AddressClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.AddressClaimSpec{NetworkName: network, PodName: pod, MAC: mac, Addresses: addresses},
	}
	w.must(w.Create(w.ctx, c))
	return c
}

// claimIs waits for the condition of a claim.
func (w *world) claimIs(name string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.t.Helper()
	var found metav1.Condition
	w.eventually(fmt.Sprintf("claim %s %s/%s", name, status, reason), func() error {
		var c v1alpha1.AddressClaim
		if err := w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, &c); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.AddressClaimConditionReserved)
		if condition == nil || condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("condition is %+v", condition)
		}
		found = *condition
		return nil
	})
	return found
}

// reserved waits until the claim has what it names.
func (w *world) reserved(name string) {
	w.t.Helper()
	w.claimIs(name, metav1.ConditionTrue, v1alpha1.ReasonReserved)
}

// kept is the claim that the operator made for net1 of a pod, or an error.
func (w *world) kept(pod, network string) (*v1alpha1.AddressClaim, error) {
	claim := &v1alpha1.AddressClaim{}
	key := types.NamespacedName{Namespace: w.namespace, Name: decide.StickyClaimName(pod, network, "net1")}
	return claim, w.Get(w.ctx, key, claim)
}

// remove deletes a pod by force; its attachments stay, as on a node that does not answer.
func (w *world) remove(pod *corev1.Pod) map[string]v1alpha1.PodNetworkAttachment {
	w.t.Helper()
	held := w.attachments(pod)
	w.must(w.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
	return held
}

// bare is a pod's reconciler without a manager, whose cache shows what is stored.
func (w *world) bare() *PodReconciler {
	return &PodReconciler{Client: w.Client, Live: w.Client, Allocator: NewAllocator(), waiting: newWaiting()}
}

// blindTo hides claims, as a cache does that is late.
type blindTo struct{ client.Client }

func (blindTo) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// counting counts what is created.
type counting struct {
	client.Client
	created map[string]int
}

func (c counting) Create(ctx context.Context, obj client.Object, options ...client.CreateOption) error {
	c.created[fmt.Sprintf("%T", obj)]++
	return c.Client.Create(ctx, obj, options...)
}
