package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// The least time between two status writes that change nothing but numbers. A status with many racks is large, and all of
// them are in every write.
const (
	countsPeriod     = 2 * time.Second
	countsPeriodRack = 4 * time.Millisecond
)

func (r *NetworkReconciler) gather(ctx context.Context, network *v1alpha1.Network, facts *decide.NetworkFacts) error {
	_, found, err := r.class(ctx, "", network)
	if err != nil {
		return err
	}
	facts.QoSClassMissing = !found
	offered, err := published(ctx, r)
	if err != nil {
		return err
	}
	matching := decide.MatchingNodes(network, offered)
	facts.Nodes = int32(len(matching))
	booked, _, err := r.Bandwidth.get(ctx)
	if err != nil {
		return err
	}
	facts.NICs = decide.NICs(network, offered, booked)
	var networks v1alpha1.NetworkList
	if err := r.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Networks: %w", err)
	}
	facts.Overlaps = decide.Overlaps(network, networks.Items)
	if decide.TopologyKey(network) == "" {
		return nil
	}
	var nodes corev1.NodeList
	if err := r.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	facts.NodeRacks = decide.NodeRacks(network, nodes.Items)
	facts.RackNodes = decide.RackNodes(facts.NodeRacks, matching)
	return nil
}

// writeStatus writes conditions, racks and addresses that are set aside at once and mere numbers only now and then, and nothing when nothing
// changed. It is asked for again when an address that is set aside is to be given out.
func (r *NetworkReconciler) writeStatus(ctx context.Context, network *v1alpha1.Network, facts decide.NetworkFacts) (ctrl.Result, error) {
	usage := r.Allocator.Usage(network.Name)
	facts.Network, facts.Now = network, metav1.Now()
	facts.Attachments, facts.Usage, facts.Outside = usage.Attachments, usage.Ranges, usage.Outside
	var next time.Duration
	facts.Aside, next = r.Allocator.Aside(network.Name, network.Status.SetAside, facts.Now.Time)
	if !network.DeletionTimestamp.IsZero() {
		facts.Nodes = network.Status.Nodes
	}
	status := decide.NetworkStatus(facts)
	if equality.Semantic.DeepEqual(status, network.Status) {
		return ctrl.Result{RequeueAfter: next}, nil
	}
	if wait := r.tooSoon(network, status); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	before := network.DeepCopy()
	network.Status = status
	err := r.patchStatus(ctx, network, before)
	switch {
	case decide.TopologyKey(network) != "" && apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: recordPoll}, nil // The cache shows the version in a moment.
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, fmt.Errorf("network %s: status: %w", network.Name, err)
	}
	r.announce(network, before.Status.Conditions)
	return ctrl.Result{RequeueAfter: next}, nil
}

func (r *NetworkReconciler) tooSoon(network *v1alpha1.Network, status v1alpha1.NetworkStatus) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	onlyNumbers := equality.Semantic.DeepEqual(status.Conditions, network.Status.Conditions) &&
		equality.Semantic.DeepEqual(status.SetAside, network.Status.SetAside) && sameRacks(status.Racks, network.Status.Racks)
	if wait := r.notBefore[network.UID].Sub(now); onlyNumbers && wait > 0 {
		return wait
	}
	maps.DeleteFunc(r.notBefore, func(_ types.UID, at time.Time) bool { return at.Before(now) })
	r.notBefore[network.UID] = now.Add(countsPeriod + time.Duration(len(status.Racks))*countsPeriodRack)
	return 0
}

// announce tells as events what an administrator has to act on.
func (r *NetworkReconciler) announce(network *v1alpha1.Network, before []metav1.Condition) {
	quiet := []string{v1alpha1.ReasonValid, v1alpha1.ReasonReady, v1alpha1.ReasonNoUplink, v1alpha1.ReasonAllRacks}
	for _, c := range network.Status.Conditions {
		same := slices.ContainsFunc(before, func(o metav1.Condition) bool { return o.Type == c.Type && o.Reason == c.Reason })
		if same || slices.Contains(quiet, c.Reason) {
			continue
		}
		r.Events.Eventf(network, nil, "Warning", c.Reason, "Check", "%s", note(c.Message))
	}
}
