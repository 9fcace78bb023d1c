package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// sweepPeriod is how often the books are compared with the cache. Only a watch that broke in the middle of a
// create and a delete, or a create whose outcome was never known, leaves something to find.
const sweepPeriod = 5 * time.Minute

// Rebuilder fills the allocator when this process becomes leader and keeps it current. It is a runnable of the
// manager. The first allocation waits for it.
type Rebuilder struct {
	Allocator *Allocator
	Cache     cache.Cache
	// Live reads from the API server: the cache may lag behind what the last leader wrote.
	Live client.Reader
	Log  logr.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (r *Rebuilder) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable. The event handler is registered before the list is read, so that a
// deletion that the list misses always comes as an event.
func (r *Rebuilder) Start(ctx context.Context) error {
	if err := r.follow(ctx); err != nil {
		return fmt.Errorf("following attachments: %w", err)
	}
	if err := r.followClaims(ctx); err != nil {
		return fmt.Errorf("following address claims: %w", err)
	}
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 10 * time.Second}
	err := backoff.DelayFunc().Until(ctx, true, false, func(ctx context.Context) (bool, error) {
		err := r.rebuild(ctx)
		if err != nil {
			r.Log.Error(err, "rebuilding the allocator, trying again")
		}
		return err == nil, nil
	})
	if err != nil {
		return nil //nolint:nilerr // The context ended: no longer leader.
	}
	close(r.Allocator.ready)
	wait.UntilWithContext(ctx, r.sweep, sweepPeriod)
	return nil
}

func (r *Rebuilder) follow(ctx context.Context) error {
	informer, err := r.Cache.GetInformer(ctx, &v1alpha1.PodNetworkAttachment{})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pna, ok := obj.(*v1alpha1.PodNetworkAttachment); ok {
				r.Allocator.Observe(pna)
			}
		},
		UpdateFunc: func(oldObj, newObj any) { r.updated(oldObj, newObj) },
		DeleteFunc: r.deleted,
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = informer.RemoveEventHandler(registration) })
	return nil
}

// updated sees another UID where the watch broke between a delete and a create of the same name.
func (r *Rebuilder) updated(oldObj, newObj any) {
	before, ok1 := oldObj.(*v1alpha1.PodNetworkAttachment)
	after, ok2 := newObj.(*v1alpha1.PodNetworkAttachment)
	if !ok1 || !ok2 {
		return
	}
	if before.UID != after.UID {
		r.Allocator.Forget(before.UID, time.Now())
	}
	r.Allocator.Observe(after)
}

func (r *Rebuilder) deleted(obj any) {
	if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if pna, ok := obj.(*v1alpha1.PodNetworkAttachment); ok {
		r.Allocator.Forget(pna.UID, time.Now())
	}
}

// rebuild holds the lock while it lists: an event about an object in the list is handled after it.
func (r *Rebuilder) rebuild(ctx context.Context) error {
	a := r.Allocator
	a.mu.Lock()
	defer a.mu.Unlock()
	var networks v1alpha1.NetworkList
	if err := r.Live.List(ctx, &networks); err != nil {
		return fmt.Errorf("listing networks: %w", err)
	}
	var attachments v1alpha1.PodNetworkAttachmentList
	if err := r.Live.List(ctx, &attachments); err != nil {
		return fmt.Errorf("listing attachments: %w", err)
	}
	for i := range networks.Items {
		// A Network that is not acceptable says so in its own status.
		if decide.CheckNetwork(&networks.Items[i]) == nil {
			_ = a.configure(&networks.Items[i])
		}
		a.takeRacks(&networks.Items[i])
		a.restoreAside(&networks.Items[i], time.Now())
	}
	if err := r.rebuildClaims(ctx, networks.Items); err != nil {
		return err
	}
	for i := range attachments.Items {
		a.observe(&attachments.Items[i])
	}
	for _, b := range a.networks {
		b.pool.Rotate()
	}
	r.Log.Info("allocator rebuilt", "networks", len(networks.Items), "attachments", len(attachments.Items))
	return nil
}

// sweep looks for holders of addresses that the cache does not show, and asks the API server about each; also about
// old reservations, since those should not be.
func (r *Rebuilder) sweep(ctx context.Context) {
	before := time.Now().Add(-sweepPeriod)
	for _, s := range r.Allocator.suspects(before) {
		var pna v1alpha1.PodNetworkAttachment
		if err := r.Cache.Get(ctx, s.key, &pna); err == nil && pna.UID == s.uid {
			continue
		}
		err := r.Live.Get(ctx, s.key, &pna)
		switch gone := apierrors.IsNotFound(err) || err == nil && s.uid != "" && pna.UID != s.uid; {
		case gone && s.uid == "":
			r.Allocator.cancelOlder(s.key, before)
		case gone:
			r.Allocator.Forget(s.uid, time.Now())
		case err == nil:
			r.Allocator.Settle(&pna)
		}
	}
	r.sweepClaims(ctx)
	for _, name := range r.Allocator.Networks() {
		var network v1alpha1.Network
		if err := r.Cache.Get(ctx, types.NamespacedName{Name: name}, &network); apierrors.IsNotFound(err) {
			r.Allocator.Drop(name, time.Now())
		}
	}
}

// suspect is a holder of addresses; uid is empty for a reservation.
type suspect struct {
	key types.NamespacedName
	uid types.UID
}

// suspects returns every attachment, and the reservations made before then.
func (a *Allocator) suspects(before time.Time) []suspect {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []suspect
	for uid, record := range a.attachments {
		found = append(found, suspect{record.key, uid})
	}
	for owner, r := range a.reserved {
		if r.since.Before(before) {
			found = append(found, suspect{key: keyOf(string(owner))})
		}
	}
	return found
}
