package main

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const (
	// settle is how long link messages are gathered before the NICs are read again: each pod's start and end sends a
	// dozen of them, and a carrier that bounces sends more.
	settle = 200 * time.Millisecond

	// resubscribeAfter is the pause before a lost subscription is renewed.
	resubscribeAfter = time.Second

	// lookEvery is when the NICs are read again without a message: an address can move without one of its link.
	lookEvery = 30 * time.Second
)

// deviceLoop keeps the devices, the ResourceSlices and the pods' links current as NICs come, go, and lose or find their
// carrier, and as the Node gets other labels or another address.
type deviceLoop struct {
	log     logr.Logger
	devices *dra.Devices
	changed chan struct{}
	// tell is called after the devices have changed, ahead before they are read.
	tell, ahead func()
	// again is called where they have not, but there are VFs that are kept from pods.
	again func()
}

func newDeviceLoop(log logr.Logger, devices *dra.Devices, tell func()) *deviceLoop {
	return &deviceLoop{log: log, devices: devices, changed: make(chan struct{}, 1), tell: tell, ahead: func() {}, again: func() {}}
}

// notify has the devices read again. It never blocks.
func (l *deviceLoop) notify() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// run reads and publishes until ctx ends.
func (l *deviceLoop) run(ctx context.Context, publish func(context.Context) error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-l.changed:
			pause(ctx, settle)
		}
		l.refresh(ctx, publish)
	}
}

func (l *deviceLoop) refresh(ctx context.Context, publish func(context.Context) error) {
	l.ahead()
	changed, err := l.devices.Refresh()
	if err != nil {
		l.log.Error(err, "the devices stay as last read")
	}
	if !changed {
		if len(l.devices.Node().Dirty) > 0 {
			l.again()
		}
		return
	}
	l.logDevices("the node's devices or labels changed")
	l.tell()
	if err := publish(ctx); err != nil {
		l.log.Error(err, "devices changed")
	}
}

func (l *deviceLoop) logDevices(message string) {
	node := l.devices.Node()
	_, overlay := l.devices.Overlay()
	l.log.Info(message, "devices", len(node.Devices), "overlay", overlay, "topology", node.Topology)
}

// offered are the devices as the keeper sees them: what it says of a VF or a NIC is published soon.
type offered struct {
	*dra.Devices
	loop *deviceLoop
}

func (o offered) SetDirty(lent, reason string) bool {
	changed := o.Devices.SetDirty(lent, reason)
	if changed {
		o.loop.notify()
	}
	return changed
}

// watchLinks notifies of each change of a link until ctx ends, and calls changed with its name, which is empty where changes
// may have been missed.
func (l *deviceLoop) watchLinks(ctx context.Context, changed func(name string)) {
	for ctx.Err() == nil {
		err := kernel.LinkChanges(ctx, func(name string) { l.notify(); changed(name) })
		if ctx.Err() == nil {
			l.log.Info("link changes may have been missed", "cause", err.Error())
			pause(ctx, resubscribeAfter)
			l.notify()
			changed("")
		}
	}
}

// watchDevices notifies of VFs that come, go, or change their driver, which those without an interface do unseen by watchLinks.
func (l *deviceLoop) watchDevices(ctx context.Context) {
	for ctx.Err() == nil {
		err := kernel.DeviceChanges(ctx, l.notify)
		if ctx.Err() == nil {
			l.log.Info("changes of devices may have been missed", "cause", err.Error())
			pause(ctx, resubscribeAfter)
			l.notify()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
