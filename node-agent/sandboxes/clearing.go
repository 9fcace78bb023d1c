package sandboxes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

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
