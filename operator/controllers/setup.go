package controllers

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// The numbers of workers. Creating attachments is one request each and gains from being parallel; the API
// server's priority and fairness keeps it from hurting others.
const (
	podWorkers        = 32
	attachmentWorkers = 8
	networkWorkers    = 4
	claimWorkers      = 4
	classWorkers      = 2
	templateWorkers   = 2
)

// recorderName is the reporting controller of our events.
const recorderName = "multinet-operator"

// NewScheme knows the types that the operator reads and writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := netattach.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, v1alpha1.AddToScheme(scheme)
}

// Setup adds everything to the manager. fence is nil where there is no leader election.
func Setup(ctx context.Context, mgr ctrl.Manager, fence *Fence) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("indexing attachments: %w", err)
	}
	allocator, recorder := NewAllocator(), mgr.GetEventRecorder(recorderName)
	rebuilder := &Rebuilder{Allocator: allocator, Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Log: mgr.GetLogger().WithName("allocator")}
	if err := mgr.Add(rebuilder); err != nil {
		return err
	}
	counted := &bandwidth{Reader: mgr.GetClient()}
	pods := &PodReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Allocator: allocator, Fence: fence, Events: recorder, Bandwidth: counted, waiting: newWaiting(),
	}
	networks := &NetworkReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Allocator: allocator, Fence: fence, Events: recorder, Bandwidth: counted,
		notBefore: map[types.UID]time.Time{},
	}
	attachments := &AttachmentReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Allocator: allocator, Fence: fence, Events: recorder,
	}
	claims := &AddressClaimReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Allocator: allocator, Fence: fence, Events: recorder, unused: map[types.NamespacedName]time.Time{},
	}
	if err := ensureDefinitions(ctx, mgr.GetConfig()); err != nil {
		return err
	}
	classes := &QoSClassReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Fence: fence}
	choices := &ClassTemplateReconciler{Client: mgr.GetClient()}
	definitions := &DefinitionReconciler{Client: mgr.GetClient(), Events: recorder}
	for _, setup := range []func(ctrl.Manager) error{pods.setup, networks.setup, attachments.setup, claims.setup, classes.setup, choices.setup, definitions.setup} {
		if err := setup(mgr); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when the allocator is rebuilt, or the context's error.
func (a *Allocator) wait(ctx context.Context) error {
	select {
	case <-a.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ownedBy(obj metav1.Object, uid types.UID) bool {
	for _, ref := range obj.GetOwnerReferences() {
		if ref.UID == uid {
			return true
		}
	}
	return false
}
