package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrFenced is returned instead of a write that another leader might contradict.
var ErrFenced = errors.New("the leader lease may have expired")

// Fence is the lock of leader election that remembers when it was last renewed. A process that was stopped or
// starved for longer than the lease goes on where it was, believing to lead, before its leader elector notices:
// every write that gives out an address therefore asks here first. A nil Fence is always open.
type Fence struct {
	resourcelock.Interface
	// window is the renew deadline. It is shorter than the lease by the time that a request may still take.
	window time.Duration

	mu      sync.Mutex
	renewed time.Time
	// term is the transition of the lease with which this process began to lead, nil before.
	term *int
}

// NewFence wraps lock; window is the renew deadline of the leader election.
func NewFence(lock resourcelock.Interface, window time.Duration) *Fence {
	return &Fence{Interface: lock, window: window}
}

// Create implements resourcelock.Interface.
func (f *Fence) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return f.write(ctx, record, f.Interface.Create)
}

// Update implements resourcelock.Interface.
func (f *Fence) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return f.write(ctx, record, f.Interface.Update)
}

// write counts from before the request, since others count from when they see its result. Giving up the lease
// closes the fence before anybody can see it.
func (f *Fence) write(ctx context.Context, record resourcelock.LeaderElectionRecord,
	write func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	sent := time.Now()
	if record.HolderIdentity != f.Identity() {
		f.close()
		return write(ctx, record)
	}
	if err := f.sameTerm(record.LeaderTransitions); err != nil {
		return err
	}
	if err := write(ctx, record); err != nil {
		return err
	}
	f.open(sent, record.LeaderTransitions)
	return nil
}

// sameTerm refuses to take the lease a second time. A leader that was stopped for a while may find that another one led
// and has stepped down: leader election would go on as if nothing had been, with books that lack what the other one
// gave out. The elector gives up when its renew deadline is over, and the process starts again.
func (f *Fence) sameTerm(transitions int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.term == nil || *f.term == transitions {
		return nil
	}
	f.renewed = time.Time{}
	return fmt.Errorf("%w: another one held it in between", ErrFenced)
}

func (f *Fence) open(renewed time.Time, transitions int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed, f.term = renewed, &transitions
}

func (f *Fence) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed = time.Time{}
}

// Guard returns a context that ends when the lease might, or an error that wraps ErrFenced.
func (f *Fence) Guard(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if f == nil {
		return ctx, func() {}, nil
	}
	f.mu.Lock()
	renewed := f.renewed
	f.mu.Unlock()
	if renewed.IsZero() {
		return nil, nil, fmt.Errorf("%w: it is not held", ErrFenced)
	}
	now := time.Now()
	// The monotonic clock stands still while the machine is suspended, the wall clock can be set back: the
	// later of both counts.
	age := max(now.Sub(renewed), now.Round(0).Sub(renewed.Round(0)))
	if age >= f.window {
		return nil, nil, fmt.Errorf("%w: last renewed %s ago", ErrFenced, age.Round(time.Millisecond))
	}
	guarded, cancel := context.WithTimeout(ctx, f.window-age)
	return guarded, cancel, nil
}
