package sandboxes

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// probeWait is how long a hook waits for a probe to end. Probes take 100 ms and begin in Prepare, long before.
const probeWait = 500 * time.Millisecond

// probeLimit ends a probe that hangs.
const probeLimit = 5 * time.Second

// probe looks for other users of one attachment's addresses.
type probe struct {
	done     chan struct{}
	conflict string
	err      error
}

// probes are the latest probe of each attachment, keyed by pod UID and attachment.
type probes struct {
	mu      sync.Mutex
	running map[types.NamespacedName]*probe
}

func probeKey(podUID types.UID, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: string(podUID), Name: name}
}

// probe begins to look for other users of the addresses. It replaces the result of an earlier look.
func (k *Keeper) probe(podUID types.UID, a plan.Attachment) {
	if len(a.Addresses) == 0 {
		return
	}
	p := &probe{done: make(chan struct{})}
	k.probes.mu.Lock()
	k.probes.running[probeKey(podUID, a.Name)] = p
	k.probes.mu.Unlock()
	go func() {
		defer close(p.done)
		ctx, cancel := context.WithTimeout(k.base, probeLimit)
		defer cancel()
		addresses := make([]netip.Addr, 0, len(a.Addresses))
		for _, prefix := range a.Addresses {
			addresses = append(addresses, prefix.Addr())
		}
		p.conflict, p.err = k.Probe(ctx, a.Device.Uplink, addresses)
	}()
}

// duplicateError is an address that another machine answers for.
type duplicateError struct {
	Attachment plan.Attachment
	Conflict   string
}

func (e *duplicateError) Error() string {
	return fmt.Sprintf("network %q interface %s: probe the addresses: %s", e.Attachment.Network, e.Attachment.Interface, e.Conflict)
}

// probed waits for the probes of the attachments. A found duplicate is a *duplicateError, and begins a new probe
// so that a later try sees whether the other user has gone. A probe that could not be made, for example because
// the uplink is down, does not keep a pod from starting.
func (k *Keeper) probed(ctx context.Context, podUID types.UID, attachments []plan.Attachment) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	for _, a := range attachments {
		k.probes.mu.Lock()
		p := k.probes.running[probeKey(podUID, a.Name)]
		k.probes.mu.Unlock()
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
		if p.conflict != "" {
			k.probe(podUID, a)
			return &duplicateError{Attachment: a, Conflict: p.conflict}
		}
	}
	return nil
}

func (p *probes) forget(gone planned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, probeKey(gone.PodUID, gone.Name))
}
