// Package overlay keeps the node's part of each rack's VXLAN segment right: the link, which pods of other nodes it knows, and
// which nodes may send into it. All of it comes from the PodNetworkAttachments of the rack.
//
// An overlay begins with the first plan on it, and ends when Keep finds none. Its link is removed by those who prune links.
package overlay

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// Watch tells of the attachments of one rack of a Network until ctx ends, as watch.Rack does.
type Watch func(ctx context.Context, network, rack string, to watch.RackReceiver)

// Options of a Manager. All are needed.
type Options struct {
	Log logr.Logger
	// NodeName is the name of this node in the API.
	NodeName string
	Watch    Watch
	Node     Node
	// Remade is called when a link was gone and has been made anew: the pods' links on it are gone as well. It must not block.
	Remade func()
}

// Manager has the overlays of the node.
type Manager struct {
	Options
	base   context.Context
	guards *guards

	mu       sync.Mutex
	segments map[plan.Overlay]*segment
}

// New returns a Manager without overlays. base ends the work that it starts.
func New(base context.Context, o Options) *Manager {
	return &Manager{Options: o, base: base, guards: newGuards(o.Node), segments: map[plan.Overlay]*segment{}}
}

// formerAddressWait is how long an overlay is given that sends from another address than is planned.
const formerAddressWait = 2 * time.Second

// identity is an overlay without what may change while it is the same.
func identity(o plan.Overlay) plan.Overlay {
	o.Local = netip.Addr{}
	return o
}

// Start begins the overlays that an earlier process has left plans on, all at once. It does not wait for them.
func (m *Manager) Start(planned []plan.Overlay) {
	if err := m.guards.inherit(planned); err != nil {
		m.Log.Error(err, "overlays are open to other machines until the API server tells who is in them")
	}
	for _, o := range planned {
		if _, err := m.segment(o); err != nil {
			m.Log.Error(err, "overlay")
		}
	}
}

// Ensure returns when the kernel has the overlay and everything that the API server has told of it, or when ctx ends, with an
// *Error that tells what is missing. The plan that needs the overlay must be known to Keep before.
func (m *Manager) Ensure(ctx context.Context, o plan.Overlay) error {
	s, err := m.segment(o)
	if err == nil && s.overlay != o {
		// It began with another address of the node, which may be gone.
		trying, cancel := context.WithTimeout(ctx, formerAddressWait)
		defer cancel()
		if s.ensure(trying) == nil {
			return nil
		}
		s, err = m.segment(o)
	}
	if err != nil {
		return err
	}
	return s.ensure(ctx)
}

func (m *Manager) segment(o plan.Overlay) (*segment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.segments[identity(o)]; s != nil && (s.overlay == o || s.works()) {
		return s, nil
	} else if s != nil {
		s.stop() // the node has another address now
	}
	for other := range m.segments {
		if other.VNI == o.VNI && other != identity(o) {
			return nil, newError(o, StepLink, fmt.Errorf("VNI %d is that of network %q rack %q on this node", o.VNI, other.Network, other.Rack))
		}
	}
	s := &segment{
		overlay: o, self: m.NodeName, node: m.Node, guards: m.guards, remade: m.Remade,
		log: m.Log.WithValues("network", o.Network, "rack", o.Rack),
	}
	m.segments[identity(o)] = s
	s.start(m.base, m.Watch)
	return s, nil
}

// Keep ends the overlays that are not planned: their links are made no more, nobody may send into them, and nothing is
// remembered of them. planned is asked under the lock that keeps Ensure out, so that a plan which is there before its Ensure
// begins is either seen, or its Ensure begins the overlay anew. Nothing ends where planned does not know.
func (m *Manager) Keep(planned func() (overlays []plan.Overlay, known bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, known := planned()
	if !known {
		return
	}
	var gone []plan.Overlay
	for key, s := range m.segments {
		if !slices.ContainsFunc(list, func(o plan.Overlay) bool { return identity(o) == key }) {
			s.cancel() // all of them, before waiting for the first
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		m.segments[key].stop()
		delete(m.segments, key)
	}
	if err := m.guards.forget(gone); err != nil {
		m.Log.Error(err, "guards of overlays that no pod needs stay for now")
	}
}

// LinkChanged has an overlay look whether its link is as it should be, if the name is that of its link. Without a name, all do.
func (m *Manager) LinkChanged(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.segments {
		if name == "" || name == plumb.OverlayName(key.VNI) {
			s.mark(func() { s.look = true })
			s.poke()
		}
	}
}
