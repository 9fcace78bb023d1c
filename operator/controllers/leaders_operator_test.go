package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// operatorProcess is one process of the operator: the real allocator, reconcilers and fence, with a cache that lags.
type operatorProcess struct {
	cache.Cache
	world    *leadersWorld
	identity string
	seen     int // events of the history
	shelf    shelf

	leads       bool // believes so
	fence       *Fence
	allocator   *Allocator
	rebuilder   *Rebuilder
	pods        *PodReconciler
	attachments *AttachmentReconciler
	networks    *NetworkReconciler
	claims      *AddressClaimReconciler
	// handlers of attachments and claims.
	handlers map[string]toolscache.ResourceEventHandler

	podQueue, attachmentQueue, claimQueue []types.NamespacedName
}

// startOperator starts a process whose cache begins with what was true after the event.
func (w *leadersWorld) startOperator(identity string, seen int) *operatorProcess {
	o := &operatorProcess{world: w, identity: identity, shelf: shelf{map[storedKey]client.Object{}}, allocator: NewAllocator(),
		handlers: map[string]toolscache.ResourceEventHandler{}}
	o.fence = NewFence(leaseLock{lease: &w.lease, identity: identity}, renewDeadline)
	c, live, recorder := operatorClient{shelf: o.shelf, operator: o}, shelf{w.store.objects}, &events.FakeRecorder{}
	o.rebuilder = &Rebuilder{Allocator: o.allocator, Cache: o, Live: live, Log: logr.Discard()}
	o.pods = &PodReconciler{Client: c, Live: live, Allocator: o.allocator, Fence: o.fence, Events: recorder, waiting: newWaiting()}
	o.attachments = &AttachmentReconciler{Client: c, Live: live, Fence: o.fence, Events: recorder}
	o.claims = &AddressClaimReconciler{Client: c, Live: live, Allocator: o.allocator, Fence: o.fence, Events: recorder, unused: map[types.NamespacedName]time.Time{}}
	o.networks = &NetworkReconciler{Client: c, Live: live, Allocator: o.allocator, Fence: o.fence, Events: recorder, Bandwidth: &bandwidth{Reader: c},
		notBefore: map[types.UID]time.Time{}}
	for o.seen < seen {
		o.next()
	}
	return o
}

func (o *operatorProcess) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return o.shelf.Get(ctx, key, obj, opts...)
}

// informer is that of attachments, or that of claims.
type informer struct {
	cache.Informer
	operator *operatorProcess
	kind     string
}

func (o *operatorProcess) GetInformer(_ context.Context, obj client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return informer{operator: o, kind: fmt.Sprintf("%T", obj)}, nil
}

func (i informer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.operator.handlers[i.kind] = h
	return nil, nil
}

// renew takes or renews the lease; with it the process begins to lead. Before the cache is replayed to the allocator
// or after: the order is not defined.
func (o *operatorProcess) renew() {
	record := resourcelock.LeaderElectionRecord{HolderIdentity: o.identity, LeaderTransitions: o.world.lease.transitions}
	if o.world.lease.holder != o.identity {
		record.LeaderTransitions++ // as client-go counts
	}
	if o.fence.Update(o.world.ctx, record) != nil || o.leads {
		return
	}
	o.leads = true
	o.world.expire(o.identity)
	o.world.must(o.rebuilder.follow(o.world.ctx))
	o.world.must(o.rebuilder.followClaims(o.world.ctx))
	early := o.world.coin("the cache is replayed before the list")
	if early {
		o.replay()
	}
	o.world.must(o.rebuilder.rebuild(o.world.ctx))
	if !early {
		o.replay()
	}
	o.allocator.Listen(func(c change) {
		if c.freed || c.racks {
			for _, pod := range append(o.pods.waiting.forNetwork(c.network), c.pod) {
				enqueueOnce(&o.podQueue, pod)
			}
			sortKeys(o.podQueue)
		}
	})
	o.allocator.ListenClaims(func(key types.NamespacedName) {
		enqueueOnce(&o.claimQueue, key)
		sortKeys(o.claimQueue)
	})
	close(o.allocator.ready)
}

func sortKeys(keys []types.NamespacedName) {
	slices.SortFunc(keys, func(a, b types.NamespacedName) int { return storedKey{"", a}.compare(storedKey{"", b}) })
}

func (o *operatorProcess) replay() {
	for _, pna := range sorted[*v1alpha1.PodNetworkAttachment](o.shelf.objects) {
		o.tell(storedChange{after: pna})
		enqueueOnce(&o.attachmentQueue, client.ObjectKeyFromObject(pna))
	}
	for _, claim := range sorted[*v1alpha1.AddressClaim](o.shelf.objects) {
		o.tell(storedChange{after: claim})
		enqueueOnce(&o.claimQueue, client.ObjectKeyFromObject(claim))
	}
	for _, pod := range sorted[*corev1.Pod](o.shelf.objects) {
		enqueueOnce(&o.podQueue, client.ObjectKeyFromObject(pod))
	}
}

func (o *operatorProcess) behind() bool { return o.seen < len(o.world.store.history) }

func (o *operatorProcess) catchUp() {
	for o.behind() {
		o.next()
	}
}

// next lets the cache see one more event, which wakes what setup of the controllers has it wake.
func (o *operatorProcess) next() {
	e := o.world.store.history[o.seen]
	if o.leads {
		o.world.t.Logf("%s sees %s", o.identity, e)
	}
	o.seen++
	obj := e.after
	if obj == nil {
		obj = e.before
		delete(o.shelf.objects, keyFor(obj))
	} else {
		o.shelf.objects[keyFor(obj)] = obj
	}
	if !o.leads {
		return
	}
	switch obj.(type) {
	case *corev1.Pod:
		enqueueOnce(&o.podQueue, client.ObjectKeyFromObject(obj))
		for _, key := range o.claims.list(o.world.ctx, client.MatchingFields{indexClaimPod: client.ObjectKeyFromObject(obj).String()}) {
			enqueueOnce(&o.claimQueue, key)
		}
	case *v1alpha1.AddressClaim:
		o.tell(e)
		enqueueOnce(&o.claimQueue, client.ObjectKeyFromObject(obj))
	case *v1alpha1.PodNetworkAttachment:
		o.tell(e)
		enqueueOnce(&o.attachmentQueue, client.ObjectKeyFromObject(obj))
	case *corev1.Node:
		for _, pna := range sorted[*v1alpha1.PodNetworkAttachment](o.shelf.objects) {
			enqueueOnce(&o.attachmentQueue, client.ObjectKeyFromObject(pna))
		}
		for _, pod := range o.pods.podsOfNode(o.world.ctx, obj) {
			enqueueOnce(&o.podQueue, pod)
		}
	}
}

func (o *operatorProcess) tell(e storedChange) {
	switch {
	case e.before == nil:
		o.handlers[keyFor(e.after).kind].OnAdd(e.after, false)
	case e.after == nil:
		o.handlers[keyFor(e.before).kind].OnDelete(e.before)
	default:
		o.handlers[keyFor(e.after).kind].OnUpdate(e.before, e.after)
	}
}

func enqueueOnce(queue *[]types.NamespacedName, key types.NamespacedName) {
	if !slices.Contains(*queue, key) {
		*queue = append(*queue, key)
	}
}

// reconcilePod does the work on one pod; after an error it is tried again.
func (o *operatorProcess) reconcilePod(key types.NamespacedName) error {
	o.podQueue = slices.DeleteFunc(o.podQueue, func(k types.NamespacedName) bool { return k == key })
	result, err := o.pods.Reconcile(o.world.ctx, ctrl.Request{NamespacedName: key})
	if err != nil || result.RequeueAfter > 0 {
		enqueueOnce(&o.podQueue, key)
	}
	if o.world.calm {
		pass(result.RequeueAfter)
	}
	return err
}

func (o *operatorProcess) reconcileAttachment(key types.NamespacedName) error {
	o.attachmentQueue = slices.DeleteFunc(o.attachmentQueue, func(k types.NamespacedName) bool { return k == key })
	_, err := o.attachments.Reconcile(o.world.ctx, ctrl.Request{NamespacedName: key})
	if err != nil {
		enqueueOnce(&o.attachmentQueue, key)
	}
	return err
}

// reconcileClaim: when to look again is up to the world, whose time is short.
func (o *operatorProcess) reconcileClaim(key types.NamespacedName) error {
	o.claimQueue = slices.DeleteFunc(o.claimQueue, func(k types.NamespacedName) bool { return k == key })
	result, err := o.claims.Reconcile(o.world.ctx, ctrl.Request{NamespacedName: key})
	if err != nil || result.RequeueAfter > 0 && !o.world.calm {
		enqueueOnce(&o.claimQueue, key)
	}
	return err
}

func (informer) RemoveEventHandler(toolscache.ResourceEventHandlerRegistration) error { return nil }
