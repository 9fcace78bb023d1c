// Package cnitest is a node whose agent is reached over CNI: the real door, keeper, ledger and attach path, in a network
// namespace, with an API server's orders given by hand. Tests and benchmarks use it.
package cnitest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/cni"
	"github.com/multinet-dev/multinet/node-agent/ledger"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// Node has its files below Dir, with the folders that a node has for CNI in Dir/net.d and Dir/bin.
type Node struct {
	Dir    string
	Orders *Orders
	// Path is the attach path on the node's namespace.
	Path *attach.Attacher
	// Program is the plugin's.
	Program string

	mu    sync.Mutex
	agent *running
}

// running is one life of the agent.
type running struct {
	keeper *sandboxes.Keeper
	stop   context.CancelFunc
	ended  sync.WaitGroup
	err    error
}

// New makes the folders of a node whose uplinks are in a network namespace.
func New(dir, namespace, program string) (*Node, error) {
	n := &Node{Dir: dir, Orders: newOrders(), Program: program,
		Path: attach.New(attach.Options{NodeNamespace: namespace, AddressInUseWait: time.Minute})}
	for _, folder := range []string{"net.d", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Place is where the agent installs the plugin.
func (n *Node) Place() cni.Place {
	return cni.Place{
		ConfDir: filepath.Join(n.Dir, "net.d"), BinDir: filepath.Join(n.Dir, "bin"), Program: n.Program,
		Stanza: cni.Stanza{
			Type: agent.PluginType, Socket: filepath.Join(n.Dir, "cni", "agent.sock"),
			Selected: filepath.Join(n.Dir, "selected"), Deleted: filepath.Join(n.Dir, "deleted"),
		},
	}
}

// Start runs an agent until Stop, over whatever an earlier one has left, and returns when pods can be prepared.
func (n *Node) Start(ctx context.Context) error {
	plans, err := ledger.Open(filepath.Join(n.Dir, "pods"))
	if err != nil {
		return err
	}
	selected, err := ledger.OpenFolder[sandboxes.Selected](n.Place().Stanza.Selected)
	if err != nil {
		return err
	}
	present, err := ledger.OpenFolder[sandboxes.Present](filepath.Join(n.Dir, "sandboxes"))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	r := &running{stop: stop}
	r.keeper = sandboxes.New(ctx, sandboxes.Options{
		Log: logr.Discard(), Attachments: n.Orders, Ledger: plans, Devices: uplinks{}, Path: n.Path, Plugins: none{}, Overlays: none{}, QoS: none{}, Publisher: none{}, Claims: none{}, PodDevices: none{},
		Probe: func(context.Context, plan.Attachment) ([]plan.Conflict, error) { return nil, nil },
		Files: sandboxes.Files{Dir: filepath.Join(n.Dir, "files")}, DeviceInfo: sandboxes.DeviceInfo{Dir: filepath.Join(n.Dir, "devinfo")},
		CDI: sandboxes.CDI{Dir: filepath.Join(n.Dir, "cdi")}, NamespaceLives: sandboxes.NamespaceLives,
		Numbers:  func(string) (int64, int64, error) { return 0, 0, errors.New("no devices here") },
		Selected: selected, Present: present, Door: sandboxes.DoorCNI,
		TellNode: func(string, string) {},
	}, plans.All())
	door := &cni.Door{Log: logr.Discard(), Place: n.Place(), Sandboxes: r.keeper}
	n.Orders.wake(r.keeper.Wake)
	r.ended.Go(func() { r.keeper.Run(ctx) })
	r.ended.Go(func() { r.err = door.Run(ctx) })
	n.mu.Lock()
	n.agent = r
	n.mu.Unlock()
	return n.WaitOpen(ctx)
}

// WaitOpen returns when pods can be prepared.
func (n *Node) WaitOpen(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if open, _ := n.Keeper().Health(); open {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Keeper of the agent that runs.
func (n *Node) Keeper() *sandboxes.Keeper {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agent.keeper
}

// Stop ends the agent and leaves all its traces, as a kill does.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agent.stop()
	n.agent.ended.Wait()
	return n.agent.err
}

// Prepare orders interfaces of networks for a pod and prepares it, as operator and kubelet do: net1, net2, …
func (n *Node) Prepare(ctx context.Context, podUID types.UID, networks ...string) error {
	for i, network := range networks {
		claim := fmt.Sprintf("multinet-%s-0", network)
		n.Orders.add(podUID, network, fmt.Sprintf("net%d", i+1), claim)
		err := n.Keeper().Prepare(ctx, sandboxes.Request{
			Namespace: namespace, PodName: string(podUID), PodUID: podUID, PodClaimName: claim, Position: i, Network: network,
			Claim: plan.Claim{Name: claim, UID: types.UID(string(podUID) + network), Device: uplinkDevice},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Unprepare ends what Prepare began, as kubelet and operator do.
func (n *Node) Unprepare(podUID types.UID) {
	n.Keeper().Unprepared(n.Orders.Remove(podUID))
}
