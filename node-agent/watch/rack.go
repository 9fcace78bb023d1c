package watch

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// RackReceiver is told of the attachments of one rack of a Network, by one goroutine. What it is given may be kept, but
// holds only what a node needs to know of pods on other nodes.
type RackReceiver interface {
	// Replace gives all attachments that there are: first, and again whenever changes may have been missed.
	Replace([]*v1alpha1.PodNetworkAttachment)
	// Set gives an attachment that is new or has changed.
	Set(*v1alpha1.PodNetworkAttachment)
	// Remove tells that one is gone.
	Remove(namespace, name string)
	// Failed tells why the attachments are not known, or not to the minute. They are asked for again.
	Failed(error)
}

// Rack tells receiver of the attachments of a rack, those of all nodes, until ctx ends.
func Rack(ctx context.Context, client rest.Interface, network, rack string, receiver RackReceiver) {
	selector := fields.SelectorFromSet(fields.Set{"spec.networkName": network, "spec.rackLocal.rack": rack}).String()
	failed := func(err error) {
		if err != nil && ctx.Err() == nil {
			receiver.Failed(err)
		}
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			list, err := client.Get().Resource(Resource).VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Get()
			failed(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.FieldSelector, o.Watch = selector, true
			changes, err := client.Get().Resource(Resource).VersionedParams(&o, metav1.ParameterCodec).Watch(ctx)
			failed(err)
			return changes, err
		},
	}
	// Pods wait for the list: the pause after a failure stays short.
	pause := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 6, Cap: 5 * time.Second}
	cache.NewReflectorWithOptions(source, &v1alpha1.PodNetworkAttachment{}, rackStore{receiver}, cache.ReflectorOptions{
		Name: fmt.Sprintf("rack %s of network %s", rack, network), Backoff: &pause,
	}).RunWithContext(ctx)
}

// rackStore passes on what a Reflector would store, so that nothing is kept twice.
type rackStore struct{ RackReceiver }

// Transformer implements cache.TransformingStore: it is for the list, before it is replaced.
func (s rackStore) Transformer() cache.TransformFunc { return onlyPath }

// onlyPath drops what is of no use to other nodes: a rack can have very many pods.
func onlyPath(obj any) (any, error) {
	pna, ok := obj.(*v1alpha1.PodNetworkAttachment)
	if !ok {
		return obj, nil
	}
	kept := &v1alpha1.PodNetworkAttachment{}
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = pna.Namespace, pna.Name, pna.UID, pna.ResourceVersion
	kept.CreationTimestamp, kept.DeletionTimestamp = pna.CreationTimestamp, pna.DeletionTimestamp
	kept.Spec.NetworkName, kept.Spec.NodeName, kept.Spec.RackLocal = pna.Spec.NetworkName, pna.Spec.NodeName, pna.Spec.RackLocal
	kept.Spec.MAC, kept.Spec.Addresses = pna.Spec.MAC, pna.Spec.Addresses
	return kept, nil
}

func (s rackStore) set(obj any) error {
	kept, err := onlyPath(obj)
	pna, ok := kept.(*v1alpha1.PodNetworkAttachment)
	if err != nil || !ok {
		return fmt.Errorf("an object of type %T among attachments", obj)
	}
	s.Set(pna)
	return nil
}

// Add implements cache.ReflectorStore.
func (s rackStore) Add(obj any) error { return s.set(obj) }

// Update implements cache.ReflectorStore.
func (s rackStore) Update(obj any) error { return s.set(obj) }

// Delete implements cache.ReflectorStore.
func (s rackStore) Delete(obj any) error {
	pna, ok := obj.(*v1alpha1.PodNetworkAttachment)
	if !ok {
		return fmt.Errorf("an object of type %T among attachments", obj)
	}
	s.Remove(pna.Namespace, pna.Name)
	return nil
}

// Replace implements cache.ReflectorStore.
func (s rackStore) Replace(list []any, _ string) error {
	s.RackReceiver.Replace(typed(list))
	return nil
}

// Resync implements cache.ReflectorStore. Nothing is to be told again.
func (s rackStore) Resync() error { return nil }
