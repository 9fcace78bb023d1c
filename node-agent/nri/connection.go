package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"github.com/go-logr/logr"
)

// The runtime takes a plugin of this name and index, and calls it in the order of the indexes. The admission
// policy asks for it by the name.
const (
	pluginName  = "multinet"
	pluginIndex = "50"
)

// Reconnects begin at once, then wait up to five seconds: the runtime is away for about a second when it restarts.
const (
	reconnectFirst = 250 * time.Millisecond
	reconnectMax   = 5 * time.Second
)

// synchronizeLimit ends a connection on which the runtime has not synchronized: the stub waits for ever for a
// runtime that goes away between registration and configuration.
const synchronizeLimit = 15 * time.Second

// Run keeps a connection to the runtime until ctx ends.
func Run(ctx context.Context, log logr.Logger, socket string, s Sandboxes) {
	run(ctx, log.WithValues("socket", socket), func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}, s)
}

func run(ctx context.Context, log logr.Logger, dial dialer, s Sandboxes) {
	wait := reconnectFirst
	for ctx.Err() == nil {
		synchronized, err := connection(ctx, log, dial, s)
		s.Disconnected()
		if ctx.Err() != nil {
			return
		}
		if synchronized {
			wait = reconnectFirst
		}
		log.Info("no connection to the container runtime over NRI, pods that select networks wait",
			"retryAfter", wait.String(), "cause", fmt.Sprint(err))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, reconnectMax)
	}
}

// dialer reaches the runtime.
type dialer func(context.Context) (net.Conn, error)

// connection serves one connection until it ends.
func connection(ctx context.Context, log logr.Logger, dial dialer, s Sandboxes) (synchronized bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	ready := make(chan struct{}, 1)
	p := &plugin{log: log, sandboxes: s, synchronized: func() {
		log.Info("container runtime is synchronized")
		select {
		case ready <- struct{}{}:
		default:
		}
	}}
	closed := make(chan struct{})
	client, err := stub.New(p, stub.WithPluginName(pluginName), stub.WithPluginIdx(pluginIndex),
		stub.WithConnection(conn), stub.WithLogger(stubLog{log}), stub.WithOnClose(func() { close(closed) }),
		// Runtimes from NRI 0.12.4 on then fail the pod instead of starting it without us; older ones ignore it.
		stub.WithFailurePolicy(&api.FailurePolicy{FailRequest: true, KeepConnected: true}))
	if err != nil {
		return false, fmt.Errorf("create the plugin: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	limit := time.NewTimer(synchronizeLimit)
	defer limit.Stop()
	for {
		select {
		case <-ready:
			synchronized = true
			limit.Stop()
		case <-limit.C:
			return false, errors.New("the runtime has not synchronized in time")
		case <-closed:
			return synchronized, errors.New("the runtime closed the connection")
		case err := <-ended:
			return synchronized, err
		}
	}
}

// stubLog passes on what the stub says: its Info is our debugging.
type stubLog struct{ log logr.Logger }

func (l stubLog) Debugf(_ context.Context, f string, a ...any) { l.log.V(4).Info(fmt.Sprintf(f, a...)) }
func (l stubLog) Infof(_ context.Context, f string, a ...any)  { l.log.V(2).Info(fmt.Sprintf(f, a...)) }
func (l stubLog) Warnf(_ context.Context, f string, a ...any)  { l.log.Info(fmt.Sprintf(f, a...)) }
func (l stubLog) Errorf(_ context.Context, f string, a ...any) { l.log.Info(fmt.Sprintf(f, a...)) }
