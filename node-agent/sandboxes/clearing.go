package sandboxes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// removalWait is how long the removal of links lets others go first.
const removalWait = 100 * time.Millisecond

// removals hold the removal of links back. The kernel has one lock for the links of all namespaces, and a removal has it
// for 10 ms and more, so an attach or a release that comes with many others would wait for the links of those before it. Nobody waits for
// those: their addresses are gone, and as a rule the runtime removes their namespace next, and the kernel all that is in it at once.
type removals struct {
	mu sync.Mutex
	// urgent is how many attaches and releases are at work; idle is closed when there is none any more.
	urgent int
	idle   chan struct{}
	// turn has room for the one removal that is at work.
	turn chan struct{}
}

func newRemovals() *removals { return &removals{turn: make(chan struct{}, 1)} }

// first says that something is at work which does not wait for removals, until the returned function is called.
func (r *removals) first() (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.urgent++; r.urgent == 1 {
		r.idle = make(chan struct{})
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.urgent--; r.urgent == 0 {
			close(r.idle)
		}
	}
}

// last waits for the turn, and a little for what is urgent. The next removal waits for the returned function.
func (r *removals) last() (done func()) {
	r.turn <- struct{}{}
	r.mu.Lock()
	urgent, idle := r.urgent, r.idle
	r.mu.Unlock()
	if urgent > 0 {
		limit := time.NewTimer(removalWait)
		defer limit.Stop()
		select {
		case <-idle:
		case <-limit.C:
		}
	}
	return func() { <-r.turn }
}

// clear announces that links of the pod are being removed; clearedAll that they are.
func (s *state) clear(podUID types.UID) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.clearing[podUID] = c
	return c
}

func (s *state) clearedAll(podUID types.UID, c chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(c)
	if s.clearing[podUID] == c {
		delete(s.clearing, podUID)
	}
}

// cleared waits until the links of the pod's former sandbox are gone: two macvlans of one MAC on one uplink are
// refused with EADDRINUSE.
func (k *Keeper) cleared(ctx context.Context, podUID types.UID) error {
	k.state.mu.Lock()
	c := k.state.clearing[podUID]
	k.state.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the pod's former sandbox still has its links: %w", ctx.Err())
	}
}
