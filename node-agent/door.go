package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-logr/logr"

	contract "github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/cni"
	"github.com/multinet-dev/multinet/node-agent/delegate"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/ledger"
	"github.com/multinet-dev/multinet/node-agent/nri"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

func doorOf(config inventory.Config, node string) sandboxes.Door {
	if config.CNI(node) {
		return sandboxes.DoorCNI
	}
	return sandboxes.DoorNRI
}

// openDoor serves the node's one door until ctx ends. The other is closed: a pod that came through both would be attached twice.
func (a *agent) openDoor(ctx context.Context) error {
	place := a.cniPlace()
	if a.door == sandboxes.DoorCNI {
		door := &cni.Door{Log: a.log.WithName("cni"), Place: place, Sandboxes: a.keeper}
		return door.Run(ctx)
	}
	if err := place.TakeOut(false); err != nil {
		return err
	}
	// The plugin of a sandbox that came over CNI may have noted its end. The runtime lists those that are left.
	log, notes := a.log.WithName("cni"), place.Stanza.Deleted
	cni.Drain(ctx, log, notes, a.keeper)
	var later sync.WaitGroup
	later.Go(func() { cni.KeepDrained(ctx, log, notes, a.keeper) })
	nri.Run(ctx, a.log.WithName("nri"), a.nriSocket, a.keeper)
	later.Wait()
	return nil
}

// cniPlace has the paths of the node, which are those of the agent's container as well.
func (o options) cniPlace() cni.Place {
	return cni.Place{
		ConfDir: o.cniConfDir, BinDir: o.cniBinDir, Program: o.cniProgram,
		Stanza: cni.Stanza{
			Type:   contract.PluginType,
			Socket: filepath.Join(o.runDir, "cni", "agent.sock"), Selected: filepath.Join(o.runDir, "selected"),
			Deleted: filepath.Join(o.stateDir, "cni", "deleted"),
		},
	}
}

// records are what of the node's pods is there since it was booted, and what CNI plugins have made for them, which may last longer.
type records struct {
	selected  *ledger.Folder[sandboxes.Selected]
	present   *ledger.Folder[sandboxes.Present]
	delegated *ledger.Folder[delegate.Record]
}

func (o options) openRecords(log logr.Logger) (r records, err error) {
	if r.selected, err = ledger.OpenFolder[sandboxes.Selected](o.cniPlace().Stanza.Selected); err != nil {
		return r, fmt.Errorf("what pods select: %w", err)
	}
	if r.present, err = ledger.OpenFolder[sandboxes.Present](filepath.Join(o.runDir, "sandboxes")); err != nil {
		return r, fmt.Errorf("sandboxes: %w", err)
	}
	if r.delegated, err = ledger.OpenDurableFolder[delegate.Record](filepath.Join(o.delegateDir(), "interfaces")); err != nil {
		return r, fmt.Errorf("what CNI plugins have made: %w", err)
	}
	for _, damaged := range slices.Concat(r.selected.Damaged(), r.present.Damaged(), r.delegated.Damaged()) {
		log.Error(damaged, "a record is left out")
	}
	return r, nil
}

// plugins run on the node, which in a container takes more rights than the agent has otherwise: manifests/agent/cni-plugins.yaml.
func (o options) plugins(config inventory.Config, r records, log logr.Logger) *delegate.Plugins {
	return delegate.New(delegate.Options{
		Log: log.WithName("delegate"), Allowed: config.CNIPlugins, BinDir: o.cniBinDir,
		Node: func(f func() error) error {
			return kernel.InMountNamespace(filepath.Join(o.procRoot, "1", "ns", "mnt"), f)
		},
		LinkDir: filepath.Join(o.runDir, "cni", "plugins"), StateDir: o.delegateDir(),
		DeviceInfo: sandboxes.DeviceInfo{Dir: o.deviceInfoDir},
		Records:    r.delegated, Look: attach.Look, NamespaceLives: sandboxes.NamespaceLives,
	})
}
