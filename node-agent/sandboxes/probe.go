package sandboxes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// probeLimit ends a probe that hangs.
const probeLimit = 5 * time.Second

// probeAgain is the pause between two looks for as long as another machine has the addresses. The runtime tries a refused
// sandbox again after 13 to 16 s without a Prepare before it, and the hook must not take the time for a look of its own:
// all pods of the node would wait.
const probeAgain = 2 * time.Second

// probe is one look for other users of one attachment's addresses. What it found is there when done is closed.
type probe struct {
	done      chan struct{}
	conflicts []plan.Conflict
	err       error
}

// clear tells that nobody else has the addresses.
func (p *probe) clear() bool { return p.err == nil && len(p.conflicts) == 0 }

// probes are the latest probe of each attachment, keyed by pod UID and attachment.
type probes struct {
	mu     sync.Mutex
	latest map[types.NamespacedName]*probe
}

func probeKey(podUID types.UID, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: string(podUID), Name: name}
}

func (p *probes) get(key types.NamespacedName) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest[key]
}

func (p *probes) set(key types.NamespacedName, next *probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest[key] = next
}

// replace tells whether last was still the latest; then next is.
func (p *probes) replace(key types.NamespacedName, last, next *probe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest[key] != last {
		return false
	}
	p.latest[key] = next
	return true
}

func (p *probes) forget(gone planned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.latest, probeKey(gone.PodUID, gone.Name))
}

// probe begins to look for other users of the addresses. It replaces the result of an earlier look, and goes on looking
// until nobody else has them or the plan is gone.
func (k *Keeper) probe(podUID types.UID, a plan.Attachment) {
	// The node's own VXLAN link answers for all addresses of an overlay.
	if len(a.Addresses) == 0 || a.Overlay != nil {
		return
	}
	key, p := probeKey(podUID, a.Name), &probe{done: make(chan struct{})}
	k.probes.set(key, p)
	go func() {
		if k.look(podUID, a, p); len(p.conflicts) > 0 {
			k.lookAgain(podUID, a, p)
		}
	}()
}

// look asks once.
func (k *Keeper) look(podUID types.UID, a plan.Attachment, p *probe) {
	defer close(p.done)
	ctx, cancel := context.WithTimeout(k.base, probeLimit)
	defer cancel()
	p.conflicts, p.err = k.Probe(ctx, a)
	k.used(podUID, []plan.Attachment{a})
}

// lookAgain asks until the other machine is silent. The last result stays until there is a new one, so that no hook
// has to wait. A look that fails proves nothing: the conflict stays.
func (k *Keeper) lookAgain(podUID types.UID, a plan.Attachment, last *probe) {
	key := probeKey(podUID, a.Name)
	for !last.clear() {
		select {
		case <-k.base.Done():
			return
		case <-time.After(probeAgain):
		}
		if k.probes.get(key) != last {
			return
		}
		next := &probe{done: make(chan struct{})}
		k.look(podUID, a, next)
		if next.err != nil && len(next.conflicts) == 0 {
			next.conflicts = last.conflicts
		}
		if !k.probes.replace(key, last, next) {
			return
		}
		last = next
	}
}

// probed waits for the probes of the attachments, which take 100 ms and begin in Prepare, long before. A found duplicate
// is a *duplicateError. A probe that could not be made, for example because the uplink is down, does not keep a pod
// from starting.
func (k *Keeper) probed(ctx context.Context, podUID types.UID, attachments []plan.Attachment) error {
	for _, a := range attachments {
		p := k.probes.get(probeKey(podUID, a.Name))
		if p == nil {
			continue
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("network %q interface %s: probe the addresses: no result yet: %w", a.Network, a.Interface, ctx.Err())
		}
		if p.err != nil {
			k.Log.Info("addresses were not probed", "podUID", podUID, "network", a.Network, "interface", a.Interface, "cause", p.err.Error())
		}
		if len(p.conflicts) > 0 {
			return &duplicateError{Attachment: a, Conflicts: p.conflicts}
		}
	}
	return nil
}
