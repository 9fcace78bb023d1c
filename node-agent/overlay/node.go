package overlay

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Node is what the kernel of the node does for overlays. The functions of plumb say what each means.
type Node interface {
	Links
	Entries(link int) ([]plumb.Entry, error)
	Program(link int, add, remove []plumb.Entry) error
	Guards() ([]plumb.Guard, error)
	EnsureGuards([]plumb.Guard) error
	UpdateGuard(vni int, add, remove []netip.Addr) error
}

// Links makes VXLAN links under the lock of those who remove them, as attach.Attacher does.
type Links interface {
	EnsureOverlay(plan.Overlay) (link plumb.Uplink, created bool, err error)
}

type node struct {
	Links
	open func() (*kernel.Namespace, error)

	mu     sync.Mutex
	opened *kernel.Namespace
}

// NewNode returns the node whose namespace open opens when it is first needed.
func NewNode(links Links, open func() (*kernel.Namespace, error)) Node {
	return &node{Links: links, open: open}
}

func (n *node) namespace() (*kernel.Namespace, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opened != nil {
		return n.opened, nil
	}
	namespace, err := n.open()
	if err != nil {
		return nil, fmt.Errorf("the node's network namespace: %w", err)
	}
	n.opened = namespace
	return namespace, nil
}

func (n *node) Entries(link int) ([]plumb.Entry, error) {
	namespace, err := n.namespace()
	if err != nil {
		return nil, err
	}
	return plumb.Entries(namespace, link)
}

func (n *node) Program(link int, add, remove []plumb.Entry) error {
	namespace, err := n.namespace()
	if err != nil {
		return err
	}
	return plumb.Program(namespace, link, add, remove)
}

func (n *node) Guards() ([]plumb.Guard, error) {
	namespace, err := n.namespace()
	if err != nil {
		return nil, err
	}
	return plumb.Guards(namespace)
}

func (n *node) EnsureGuards(guards []plumb.Guard) error {
	namespace, err := n.namespace()
	if err != nil {
		return err
	}
	return plumb.EnsureGuards(namespace, guards)
}

func (n *node) UpdateGuard(vni int, add, remove []netip.Addr) error {
	namespace, err := n.namespace()
	if err != nil {
		return err
	}
	return plumb.UpdateGuard(namespace, vni, add, remove)
}
