package nri

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// listening records what the loop tells the sandboxes' keeper.
type listening struct {
	keeper
	mu     sync.Mutex
	events []string
	told   chan struct{}
}

func (l *listening) add(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event)
	if l.told != nil {
		l.told <- struct{}{}
	}
}

func (l *listening) Disconnected() { l.add("disconnected") }
func (l *listening) Synchronize(list []sandboxes.Sandbox) {
	event := "synchronized"
	for _, s := range list {
		event += " " + s.ID
	}
	l.add(event)
}

func (l *listening) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}

// door is a runtime that can be dialled when it is up.
type door struct {
	mu      sync.Mutex
	up      bool
	dialled []time.Time
	conns   chan net.Conn
}

func (d *door) dial(context.Context) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialled = append(d.dialled, time.Now())
	if !d.up {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	d.conns <- theirs
	return ours, nil
}

func (d *door) set(up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.up = up
}

// pauses are the times between attempts.
func (d *door) pauses() (pauses []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := 1; i < len(d.dialled); i++ {
		pauses = append(pauses, d.dialled[i].Sub(d.dialled[i-1]))
	}
	d.dialled = nil
	return pauses
}

// loop runs the loop under a door in a bubble.
func loop(t *testing.T, test func(t *testing.T, d *door, l *listening)) {
	synctest.Test(t, func(t *testing.T) {
		d, l := &door{conns: make(chan net.Conn, 1)}, &listening{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); run(ctx, logr.Discard(), d.dial, l) }()
		test(t, d, l)
		cancel()
		<-ended
	})
}

// An agent that starts before the runtime asks more and more rarely.
func TestRuntimeAway(t *testing.T) {
	loop(t, func(t *testing.T, d *door, l *listening) {
		time.Sleep(20 * time.Second)
		want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
		if diff := cmp.Diff(want, d.pauses()); diff != "" {
			t.Errorf("pauses: %s", diff)
		}
	})
}

// The runtime restarts: sandboxes are not known from the moment of the loss until it has listed them again.
func TestRuntimeRestarts(t *testing.T) {
	loop(t, func(t *testing.T, d *door, l *listening) {
		d.set(true)
		for _, test := range []struct {
			away time.Duration
			pods []*api.PodSandbox
			want []string
		}{
			{0, nil, []string{"synchronized"}},
			{time.Second, []*api.PodSandbox{pod(map[string]string{"multinet.dev/networks": "storage"})}, []string{"synchronized box"}},
			{0, nil, []string{"synchronized"}},
		} {
			time.Sleep(test.away)
			d.set(true)
			r := newRuntime(t, <-d.conns)
			r.synchronize(t, test.pods...)
			time.Sleep(time.Hour)
			got := l.take()
			if n := len(got); n > len(test.want) {
				got = got[n-len(test.want):] // attempts while it was away
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			d.pauses()
			d.set(test.away != 0)
			r.close()
			synctest.Wait()
			if diff := cmp.Diff([]string{"disconnected"}, l.take()); diff != "" {
				t.Errorf("at once after the loss: %s", diff)
			}
			d.set(true)
		}
		// After a connection that was good the first pause is short again.
		(<-d.conns).Close()
		time.Sleep(time.Second)
		if pauses := d.pauses(); len(pauses) == 0 || pauses[0] > 2*reconnectFirst {
			t.Errorf("pauses %v", pauses)
		}
	})
}

// A runtime that takes the connection and goes, or says nothing, is left in time. One that goes after the registration is
// not here: the stub then blocks on a mutex, before which the clock of a bubble stops. synchronizeLimit is for it.
func TestRuntimeDoesNotSynchronize(t *testing.T) {
	for name, test := range map[string]struct {
		accept func(net.Conn)
		want   time.Duration
	}{
		"hangs up":  {func(conn net.Conn) { conn.Close() }, 0},
		"is silent": {func(conn net.Conn) { go func() { _, _ = io.Copy(io.Discard, conn) }() }, api.DefaultPluginRegistrationTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			loop(t, func(t *testing.T, d *door, l *listening) {
				d.set(true)
				test.accept(<-d.conns)
				begin := time.Now()
				(<-d.conns).Close()
				if took := time.Since(begin); took < test.want || took > test.want+time.Second {
					t.Errorf("tried again after %s, want %s", took, test.want)
				}
				d.set(false)
				synctest.Wait()
				if events := l.take(); len(events) == 0 || events[0] != "disconnected" {
					t.Errorf("events %v", events)
				}
			})
		})
	}
}

// The loop over a real socket, whose other end goes away and comes back.
func TestSocketGoesAndComesBack(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	l := &listening{told: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); Run(ctx, logr.Discard(), socket, l) }()
	<-l.told
	if diff := cmp.Diff([]string{"disconnected"}, l.take()); diff != "" {
		t.Errorf("before the socket is there: %s", diff)
	}
	for range 2 {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.take()
		r := newRuntime(t, conn)
		r.synchronize(t)
		_ = listener.Close()
		r.close()
		for events := []string{}; len(events) < 2 || events[len(events)-1] != "disconnected"; events = append(events, l.take()...) {
			<-l.told
		}
	}
	cancel()
	<-ended
}

// patient records how long the runtime waits for a hook.
type patient struct {
	listening
	left time.Duration
}

func (p *patient) RunSandbox(ctx context.Context, _ sandboxes.Sandbox) error {
	if end, ok := ctx.Deadline(); ok {
		p.left = time.Until(end)
	}
	return nil
}

// The runtime's plugin_request_timeout, with which containerd bounds each call, reaches the keeper over the socket.
func TestHookKnowsHowLongTheRuntimeWaits(t *testing.T) {
	ours, theirs := net.Pipe()
	p := &patient{}
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_, _ = connection(ctx, logr.Discard(), func(context.Context) (net.Conn, error) { return ours, nil }, p)
	}()
	r := newRuntime(t, theirs)
	r.synchronize(t)
	call, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := r.plugin.RunPodSandbox(call, &api.RunPodSandboxRequest{Pod: pod(nil)}); err != nil {
		t.Error(err)
	}
	if p.left <= 2*time.Second || p.left > 20*time.Second {
		t.Errorf("the hook has %s of 20s", p.left)
	}
	r.close()
	stop()
	<-ended
}
