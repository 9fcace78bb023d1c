package overlay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

const (
	// gather is the pause after work during which further changes come together: one that comes alone is programmed at once.
	gather = 5 * time.Millisecond
	// reconcileEvery is how often the kernel is read, for what others changed there.
	reconcileEvery = time.Minute
	// What failed is tried again after a pause that grows from the first to the second.
	retryFirst = 200 * time.Millisecond
	retryMost  = 10 * time.Second
)

// errStopped tells that the last plan on an overlay went while somebody waited for it.
var errStopped = errors.New("no pod of the node is planned on it any more")

// segment is one overlay that the node takes part in: a watch that fills rack, and one goroutine that brings the kernel to it.
type segment struct {
	overlay plan.Overlay
	self    string
	log     logr.Logger
	node    Node
	guards  *guards
	remade  func()

	cancel context.CancelFunc
	ended  chan struct{}
	wake   chan struct{}
	// link, admitted and failure are the worker's own: the index of the link, 0 before it was made, the version of the members that
	// are admitted, and the last failure that was logged.
	link     int
	admitted int
	failure  string

	mu     sync.Mutex
	rack   *rack
	listed bool
	// full has the kernel read, look the link looked at.
	full, look bool
	// asked counts who waits, done is the count up to which the kernel had all that was known then.
	asked, done int
	// trouble is why it has not.
	trouble error
	// changed is closed and made anew when done or trouble changes.
	changed chan struct{}
	// unusable is what was said of attachments that cannot be read.
	unusable map[types.NamespacedName]string
}

func (s *segment) start(ctx context.Context, watch Watch) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.ended, s.wake, s.changed = make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	s.rack, s.unusable, s.full, s.admitted = newRack(), map[types.NamespacedName]string{}, true, -1
	var parts sync.WaitGroup
	parts.Go(func() { watch(ctx, s.overlay.Network, s.overlay.Rack, s) })
	parts.Go(func() { s.run(ctx) })
	go func() { parts.Wait(); close(s.ended) }()
}

// stop returns when nothing of it is at work any more.
func (s *segment) stop() {
	s.cancel()
	<-s.ended
}

// works tells that the link could be made, as far as it was tried.
func (s *segment) works() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed *Error
	return !errors.As(s.trouble, &failed) || failed.Step != StepLink
}

func (s *segment) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ensure waits until the kernel has what is known now.
func (s *segment) ensure(ctx context.Context) error {
	s.mu.Lock()
	s.asked++
	mine := s.asked
	s.mu.Unlock()
	s.poke()
	for {
		s.mu.Lock()
		done, changed := s.done >= mine, s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-s.ended:
			return newError(s.overlay, StepLink, errStopped)
		case <-ctx.Done():
			return s.missing(ctx.Err())
		}
	}
}

// missing tells what the kernel has not got before the end that ended tells of.
func (s *segment) missing(ended error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trouble != nil:
		return s.trouble
	case !s.listed:
		return newError(s.overlay, StepList, fmt.Errorf("the API server has not answered: %w", ended))
	}
	return newError(s.overlay, StepEntries, fmt.Errorf("not done in time: %w", ended))
}

// run works after each wake and tick until ctx ends.
func (s *segment) run(ctx context.Context) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	var retry <-chan time.Time
	pause := retryFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-retry:
		case <-tick.C:
			s.mark(func() { s.full = true })
		}
		retry = nil
		if err := s.round(); err != nil {
			retry, pause = time.After(pause), min(2*pause, retryMost)
		} else {
			pause = retryFirst
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
	}
}

func (s *segment) mark(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// round brings the kernel to what is known, and tells who waits. There is nothing to do before the API server has told of the
// rack: what an earlier process programmed is right as far as anybody knows.
func (s *segment) round() error {
	s.mu.Lock()
	if !s.listed {
		s.mu.Unlock()
		return nil
	}
	asked, full := s.asked, s.full
	look := s.look || full || asked > s.done
	s.full, s.look = false, false
	s.mu.Unlock()

	err := s.apply(full, look)
	s.mark(func() {
		if s.trouble = err; err != nil {
			s.full = true
		} else {
			s.done = asked
		}
		close(s.changed)
		s.changed = make(chan struct{})
	})
	s.logOnce(err)
	return err
}

func (s *segment) logOnce(err error) {
	if err == nil {
		s.failure = ""
	} else if s.failure != err.Error() {
		s.failure = err.Error()
		s.log.Error(err, "overlay")
	}
}
