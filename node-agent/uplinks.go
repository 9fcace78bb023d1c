package main

import (
	"context"
	"time"

	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// settle is how long link messages are gathered before the NICs are read again: each pod's start and end sends a
// dozen of them, and a carrier that bounces sends more.
const settle = 200 * time.Millisecond

// resubscribeAfter is the pause before a lost subscription is renewed.
const resubscribeAfter = time.Second

// watchUplinks keeps the devices, the ResourceSlices and the pods' links current as NICs come, go, and lose or find
// their carrier.
func (a *agent) watchUplinks(ctx context.Context, plugin *dra.Plugin) {
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	go func() {
		for ctx.Err() == nil {
			err := kernel.LinkChanges(ctx, func(string) { notify() })
			if ctx.Err() == nil {
				a.log.Info("link changes may have been missed", "cause", err.Error())
				pause(ctx, resubscribeAfter)
				notify()
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		pause(ctx, settle)
		a.refreshUplinks(ctx, plugin)
	}
}

func (a *agent) refreshUplinks(ctx context.Context, plugin *dra.Plugin) {
	changed, err := a.devices.Refresh()
	if err != nil {
		a.log.Error(err, "the NICs stay as last read")
	}
	if !changed {
		return
	}
	a.log.Info("the node's NICs changed", "devices", len(a.devices.All()))
	a.keeper.UplinksChanged()
	if err := plugin.Publish(ctx); err != nil {
		a.log.Error(err, "NICs changed")
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
