package cni

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"
)

const (
	// noticed is how long a runtime may take to read a configuration that was changed. It watches the folder, and nothing
	// tells when it has read it.
	noticed = time.Second

	// lookEvery is when the configuration is looked at without a change of its folder, and notes of sandboxes that ended.
	lookEvery = 10 * time.Second
)

// Door is what serves a node's runtime over CNI.
type Door struct {
	Log   logr.Logger
	Place Place
	// Sandboxes is what calls become.
	Sandboxes Sandboxes

	// said is the last trouble, so that it is logged once.
	said string
}

// Run serves until ctx ends. Sandboxes of an earlier process are taken over first, and those that ended meanwhile end; then the
// socket answers; then the plugin gets into the chain; and only then pods can be prepared.
func (d *Door) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	Drain(ctx, d.Log, d.Place.Stanza.Deleted, d.Sandboxes)
	d.Sandboxes.Restore()
	serving := make(chan struct{})
	var served error
	var parts sync.WaitGroup
	parts.Go(func() { KeepDrained(ctx, d.Log, d.Place.Stanza.Deleted, d.Sandboxes) })
	parts.Go(func() {
		defer cancel()
		served = Serve(ctx, d.Log, d.Place.Stanza.Socket, d.Sandboxes, func() { close(serving) })
	})
	select {
	case <-serving:
		d.keep(ctx)
	case <-ctx.Done():
	}
	parts.Wait()
	return served
}

// keep holds the plugin in the chain.
func (d *Door) keep(ctx context.Context) {
	changes, closeWatch := d.watch()
	defer closeWatch()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var open <-chan time.Time
	for {
		switch changed, err := d.Place.Ensure(); {
		case err != nil:
			open = nil
			d.close(err)
		case changed || d.said != "" || open == nil && !d.connected():
			d.said = ""
			open = time.After(noticed)
		}
		select {
		case <-ctx.Done():
			return
		case <-open:
			open = nil
			d.Log.Info("the CNI plugin is in the chain of the node's network configuration", "folder", d.Place.ConfDir)
			d.Sandboxes.Connected()
		case <-changes:
		case <-look.C:
		}
	}
}

func (d *Door) connected() bool {
	connected, _ := d.Sandboxes.Health()
	return connected
}

func (d *Door) close(err error) {
	if text := err.Error(); d.said != text {
		d.said = text
		d.Log.Info("the CNI plugin is not in the chain of the node's network configuration, pods that select networks wait", "cause", text)
	}
	d.Sandboxes.Disconnected()
}

// watch tells of changes in the folder of configurations. Where the kernel has no watch left, the regular look has to do.
func (d *Door) watch() (<-chan struct{}, func()) {
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(d.Place.ConfDir)
	}
	if err != nil {
		d.Log.Info("changes of the CNI configuration are seen late", "cause", err.Error(), "after", fmt.Sprint(lookEvery))
		if watcher != nil {
			_ = watcher.Close()
		}
		return nil, func() {}
	}
	changes := make(chan struct{}, 1)
	go func() {
		for range watcher.Events {
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	go func() {
		for err := range watcher.Errors {
			d.Log.Info("a change of the CNI configuration may have been missed", "cause", err.Error())
		}
	}()
	return changes, func() { _ = watcher.Close() }
}
