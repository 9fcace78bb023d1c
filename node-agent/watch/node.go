package watch

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// Place is what the Node object tells of where the node is.
type Place struct {
	// Labels must not be changed.
	Labels map[string]string
	// Address is the first InternalIP, to which other nodes send; invalid where there is none.
	Address netip.Addr
}

func (p Place) equal(q Place) bool { return p.Address == q.Address && maps.Equal(p.Labels, q.Labels) }

// Node follows the Node object of this node.
type Node struct {
	informer cache.SharedIndexInformer
	changed  func()

	mu    sync.Mutex
	place Place
	known chan struct{} // closed with the first Place
}

// NewNode returns a Node that is not known until Run has heard of it. changed is called after each change of its Place; it
// must not block. core is a client of the core group.
func NewNode(core rest.Interface, name string, changed func()) (*Node, error) {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name)
	return newNodeFromSource(cache.NewListWatchFromClient(core, "nodes", metav1.NamespaceAll, only), changed)
}

func newNodeFromSource(source cache.ListerWatcher, changed func()) (*Node, error) {
	n := &Node{changed: changed, known: make(chan struct{})}
	n.informer = cache.NewSharedIndexInformer(source, &corev1.Node{}, 0, cache.Indexers{})
	if err := n.informer.SetTransform(onlyPlace); err != nil {
		return nil, fmt.Errorf("node cache: %w", err)
	}
	// A Node that is deleted keeps its place: the machine has not moved, and a new Node comes with its own labels.
	_, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    n.set,
		UpdateFunc: func(_, obj any) { n.set(obj) },
	})
	if err != nil {
		return nil, fmt.Errorf("node cache: %w", err)
	}
	return n, nil
}

// onlyPlace drops the rest: the names of a node's images alone can be hundreds of kilobytes.
func onlyPlace(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	kept := &corev1.Node{}
	kept.Name, kept.UID, kept.ResourceVersion, kept.Labels = node.Name, node.UID, node.ResourceVersion, node.Labels
	kept.Status.Addresses = node.Status.Addresses
	return kept, nil
}

// Run follows the Node until ctx ends.
func (n *Node) Run(ctx context.Context) { n.informer.RunWithContext(ctx) }

// Place returns the last known place, and false until one is known.
func (n *Node) Place() (Place, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.known:
		return n.place, true
	default:
		return Place{}, false
	}
}

// WaitKnown returns when the place is known. The error is that of ctx.
func (n *Node) WaitKnown(ctx context.Context) error {
	select {
	case <-n.known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) set(obj any) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return
	}
	if n.replace(Place{Labels: node.Labels, Address: internalIP(node)}) {
		n.changed()
	}
}

// replace tells whether the place is another, or the first.
func (n *Node) replace(place Place) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.known:
		if n.place.equal(place) {
			return false
		}
		n.place = place
	default:
		n.place = place
		close(n.known)
	}
	return true
}

// internalIP is the first one, as the operator takes it.
func internalIP(node *corev1.Node) netip.Addr {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			addr, err := netip.ParseAddr(address.Address)
			if err != nil {
				return netip.Addr{}
			}
			return addr.Unmap()
		}
	}
	return netip.Addr{}
}
