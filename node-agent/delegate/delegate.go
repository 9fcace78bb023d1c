// Package delegate has CNI plugins of the node make interfaces: those of Networks of type CNI. It is kept apart from the attach path,
// which starts no process.
//
// Only plugins run that the admin has allowed. Whatever was begun stands in a record before the first plugin is started, so that an
// agent that is killed at any instant finds it again and has the plugins take it away. The record also holds what they have made:
// plugins are not asked again for what is there. libcni keeps what it hands from ADD to DEL and CHECK in a folder of ours beside it.
package delegate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// delLimit is what plugins have to take an interface away, where nobody waits for it.
const delLimit = 10 * time.Second

// Options of Plugins.
type Options struct {
	Log logr.Logger
	// Allowed are the types of the plugins that may run.
	Allowed []string
	// BinDir is the node's folder of plugins.
	BinDir string
	// Node runs f on a thread that sees the node's files, and that lasts as long as f.
	Node func(f func() error) error
	// LinkDir is a folder of the process that is at the same path on the node. It gets a link to each plugin that may run: it is all that
	// plugins see of other plugins.
	LinkDir string
	// StateDir is for libcni.
	StateDir string
	// DeviceInfo is where plugins and other programs of the node tell each other of the devices of pods.
	DeviceInfo sandboxes.DeviceInfo
	// Records are by Record.key, and are there after the node was started anew.
	Records sandboxes.Records[Record]
	// Look reads an interface of a pod, NamespaceLives tells whether a path still is a network namespace.
	Look           func(netns, iface string) (seen attach.Seen, found bool, err error)
	NamespaceLives func(path string) bool
}

// Record is an interface that plugins may have begun to make.
type Record struct {
	Sandbox   sandboxes.Sandbox `json:"sandbox"`
	Network   string            `json:"network"`
	Interface string            `json:"interface"`
	plan.CNI
	// Types are the plugins that Config names.
	Types []string `json:"types"`
	// Made is nil until all of them have done their part.
	Made *Made `json:"made,omitempty"`
}

// Made is what plugins have made.
type Made struct {
	// HasLink tells whether there is an interface of the name: some plugins make none.
	HasLink   bool              `json:"hasLink"`
	MAC       plan.HardwareAddr `json:"mac,omitempty"`
	MTU       int               `json:"mtu,omitempty"`
	Addresses []netip.Prefix    `json:"addresses,omitempty"`
	Gateways  []netip.Addr      `json:"gateways,omitempty"`
	DNS       netstatus.DNS     `json:"dns"`
	// DeviceInfo is nil where nobody told of a device.
	DeviceInfo *netstatus.DeviceInfo `json:"deviceInfo,omitempty"`
	At         time.Time             `json:"at"`
	Duration   time.Duration         `json:"duration"`
}

func (r Record) key() string { return keyOf(r.Sandbox.ID, r.Interface) }

func keyOf(sandboxID, iface string) string { return sandboxID + "_" + iface }

// Plugins runs them. Its methods may be called concurrently.
type Plugins struct {
	Options
	runner *runner
	cni    *libcni.CNIConfig

	mu sync.Mutex
	// busy has a channel for each record that is worked on; it is closed when that ends.
	busy map[string]chan struct{}
	// again are the attempts to take away what Prune has failed to.
	again map[string]attempts
}

// New returns Plugins that may also take away, with the plugins that made it, what is recorded.
func New(o Options) *Plugins {
	r := &runner{log: o.Log, node: o.Node, links: o.LinkDir, binDir: o.BinDir, wanted: slices.Clone(o.Allowed)}
	for _, record := range o.Records.All() {
		r.wanted = append(r.wanted, record.Types...)
	}
	slices.Sort(r.wanted)
	r.wanted = slices.Compact(r.wanted)
	if len(r.wanted) == 0 {
		_ = os.RemoveAll(o.LinkDir) // what an earlier configuration allowed
	}
	return &Plugins{
		Options: o, runner: r, cni: libcni.NewCNIConfigWithCacheDir([]string{o.LinkDir}, filepath.Join(o.StateDir, "libcni"), r),
		busy: map[string]chan struct{}{}, again: map[string]attempts{},
	}
}

// Ready looks which plugins are there, and returns those that are allowed as well, in the order of their names.
func (p *Plugins) Ready() (ready []string) {
	if len(p.runner.wanted) == 0 {
		return nil
	}
	for _, plugin := range p.runner.link() {
		if slices.Contains(p.Allowed, plugin) {
			ready = append(ready, plugin)
		}
	}
	return ready
}

// Add has an interface made. One that is there is left as it is; what is left of one, or of an attempt, is taken away before. Where it
// fails nothing stays.
func (p *Plugins) Add(ctx context.Context, sandbox sandboxes.Sandbox, a plan.Attachment) (made publish.Interface, added bool, err error) {
	list, types, err := parse(*a.CNI)
	if err == nil {
		err = p.permit(types)
	}
	if err != nil {
		return made, false, problem(a, err)
	}
	r := Record{Sandbox: sandbox, Network: a.Network, Interface: a.Interface, CNI: *a.CNI, Types: types}
	release, err := p.take(ctx, r.key())
	if err != nil {
		return made, false, problem(a, err)
	}
	defer release()
	if known, ok := p.Records.Get(r.key()); ok {
		if p.compare(known) == nil {
			return known.asInterface(a), false, nil
		}
		if err := p.del(ctx, known); err != nil {
			return made, false, problem(a, fmt.Errorf("take away what is left of it: %w", err))
		}
	}
	if r, err = p.add(ctx, list, r); err != nil {
		return made, false, problem(a, err)
	}
	return r.asInterface(a), true, nil
}

// permit names the plugins that may not run, or are not there.
func (p *Plugins) permit(types []string) error {
	var errs []error
	for _, plugin := range types {
		if !slices.Contains(p.Allowed, plugin) {
			errs = append(errs, fmt.Errorf("CNI plugin %q may not run on this node: cniPlugins of the agents' configuration does not list it", plugin))
		} else if _, err := p.runner.FindInPath(plugin, nil); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (p *Plugins) add(ctx context.Context, list *libcni.NetworkConfigList, r Record) (Record, error) {
	if err := p.Records.Put(r.key(), r); err != nil {
		return r, fmt.Errorf("record the interface: %w", err)
	}
	begin := time.Now()
	if err := p.DeviceInfo.Begin(r.Sandbox, r.attachment()); err != nil {
		return r, errors.Join(err, p.Records.Delete(r.key()))
	}
	result, err := p.cni.AddNetworkList(ctx, list, p.arguments(r))
	if err == nil {
		r.Made, err = p.madeOf(r, result, begin)
	}
	if err == nil {
		err = p.Records.Put(r.key(), r)
	}
	if err == nil {
		err = ctx.Err() // too late for whoever waited
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), delLimit)
		defer cancel()
		if left := p.del(undo, r); left != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", left))
		}
	}
	return r, err
}

// Made is what Add has made, in this process or an earlier one.
func (p *Plugins) Made(sandbox sandboxes.Sandbox, a plan.Attachment) (publish.Interface, bool) {
	r, ok := p.Records.Get(keyOf(sandbox.ID, a.Interface))
	if !ok || r.Made == nil {
		return publish.Interface{Plan: a}, false
	}
	return r.asInterface(a), true
}

func (r Record) asInterface(a plan.Attachment) publish.Interface {
	m := r.Made
	return publish.Interface{Plan: a, MAC: m.MAC, MTU: m.MTU, Addresses: m.Addresses, Gateways: m.Gateways, DNS: m.DNS, DeviceInfo: m.DeviceInfo, At: m.At, Duration: m.Duration}
}

func problem(a plan.Attachment, err error) error {
	return &attach.Error{Network: a.Network, Interface: a.Interface, Step: attach.StepPlugins, Err: err}
}

// take waits until nobody else works on a record.
func (p *Plugins) take(ctx context.Context, key string) (release func(), err error) {
	for {
		p.mu.Lock()
		other, taken := p.busy[key]
		if !taken {
			mine := make(chan struct{})
			p.busy[key] = mine
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.busy, key)
				close(mine)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("other work of CNI plugins on it has not ended: %w", ctx.Err())
		}
	}
}
