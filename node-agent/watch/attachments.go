// Package watch knows the PodNetworkAttachments of this node, and lets callers wait for one.
package watch

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=podnetworkattachments,verbs=get;list;watch

// Resource is the plural of PodNetworkAttachment in the API.
const Resource = "podnetworkattachments"

const indexPodUID = "podUID"

// Attachments is a cache of the PodNetworkAttachments whose spec.nodeName is this node. What it returns is shared
// and must not be changed.
type Attachments struct {
	informer cache.SharedIndexInformer
	changed  func(types.UID)

	mu      sync.Mutex
	waiters map[types.UID]chan struct{}
}

// New returns a cache that is empty until Run. changed is called with the pod's UID after each change of one of
// its attachments is in the cache; it must not block.
func New(client rest.Interface, nodeName string, changed func(podUID types.UID)) (*Attachments, error) {
	selector := fields.OneTermEqualSelector("spec.nodeName", nodeName).String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return client.Get().Resource(Resource).VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.FieldSelector, o.Watch = selector, true
			return client.Get().Resource(Resource).VersionedParams(&o, metav1.ParameterCodec).Watch(ctx)
		},
	}
	return newFromSource(source, changed)
}

func newFromSource(source cache.ListerWatcher, changed func(types.UID)) (*Attachments, error) {
	a := &Attachments{changed: changed, waiters: map[types.UID]chan struct{}{}}
	a.informer = cache.NewSharedIndexInformer(source, &v1alpha1.PodNetworkAttachment{}, 0,
		cache.Indexers{indexPodUID: func(obj any) ([]string, error) {
			return []string{string(obj.(*v1alpha1.PodNetworkAttachment).Spec.Pod.UID)}, nil
		}})
	if err := a.informer.SetTransform(dropUnused); err != nil {
		return nil, fmt.Errorf("attachment cache: %w", err)
	}
	_, err := a.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    a.wake,
		UpdateFunc: func(_, obj any) { a.wake(obj) },
		DeleteFunc: a.wake,
	})
	if err != nil {
		return nil, fmt.Errorf("attachment cache: %w", err)
	}
	return a, nil
}

// dropUnused keeps managedFields, which are most of an object, out of memory.
func dropUnused(obj any) (any, error) {
	if pna, ok := obj.(*v1alpha1.PodNetworkAttachment); ok {
		pna.ManagedFields = nil
	}
	return obj, nil
}

// Run fills the cache and keeps it current until ctx ends.
func (a *Attachments) Run(ctx context.Context) { a.informer.RunWithContext(ctx) }

// Listed tells whether the cache holds all that the API server had when Run began.
func (a *Attachments) Listed() bool { return a.informer.HasSynced() }

// WaitListed returns when Listed is true or ctx ends.
func (a *Attachments) WaitListed(ctx context.Context) {
	cache.WaitForCacheSync(ctx.Done(), a.informer.HasSynced)
}

// All returns every attachment of this node.
func (a *Attachments) All() []*v1alpha1.PodNetworkAttachment {
	return typed(a.informer.GetStore().List())
}

// ForPod returns the attachments of one pod, those that are being deleted included.
func (a *Attachments) ForPod(podUID types.UID) []*v1alpha1.PodNetworkAttachment {
	objects, err := a.informer.GetIndexer().ByIndex(indexPodUID, string(podUID))
	if err != nil { // only for an index that does not exist
		panic(err)
	}
	return typed(objects)
}

// Get returns one attachment by namespace and name.
func (a *Attachments) Get(namespace, name string) (*v1alpha1.PodNetworkAttachment, bool) {
	obj, exists, err := a.informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil, false
	}
	return obj.(*v1alpha1.PodNetworkAttachment), true
}

// WaitFor returns the attachment that is on the device of a request of the pod's claim podClaimName, as soon as the API server
// has told of it. One that is being deleted does not count. The error is that of ctx.
func (a *Attachments) WaitFor(ctx context.Context, podUID types.UID, podClaimName, request string) (*v1alpha1.PodNetworkAttachment, error) {
	for {
		// The channel first: a change between the look and the wait then closes it.
		changed := a.waiter(podUID)
		for _, pna := range a.ForPod(podUID) {
			if pna.Spec.PodClaimName == podClaimName && pna.Spec.Request == request && pna.DeletionTimestamp == nil {
				return pna, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *Attachments) waiter(podUID types.UID) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiters[podUID] == nil {
		a.waiters[podUID] = make(chan struct{})
	}
	return a.waiters[podUID]
}

func (a *Attachments) wake(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	pna, ok := obj.(*v1alpha1.PodNetworkAttachment)
	if !ok {
		return
	}
	podUID := pna.Spec.Pod.UID
	a.mu.Lock()
	if waiting := a.waiters[podUID]; waiting != nil {
		close(waiting)
		delete(a.waiters, podUID)
	}
	a.mu.Unlock()
	a.changed(podUID)
}

func typed(objects []any) []*v1alpha1.PodNetworkAttachment {
	list := make([]*v1alpha1.PodNetworkAttachment, 0, len(objects))
	for _, obj := range objects {
		list = append(list, obj.(*v1alpha1.PodNetworkAttachment))
	}
	return list
}
