// Package attach is the one path by which pods get and lose their interfaces. It executes plans with netlink alone: no
// API call, no file but sysctls, no process. DRA, NRI and CNI only translate into it.
//
// An attach is idempotent: what is absent is created, what is ours and wrong is replaced, what is right is left.
// Where it fails, what this call created is undone in reverse; what was there before stays.
package attach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// AddressInUseWait bounds how long an Attach waits for a former sandbox of the pod to give up its MACs, unless Options say
// otherwise. The runtime's hook lock is node-wide: every other pod waits as well.
const AddressInUseWait = 300 * time.Millisecond

// Options of an Attacher. The zero value fits a process on the node itself.
type Options struct {
	// ProcRoot is where the host's procfs is mounted, /proc if empty. See kernel.Proc.
	ProcRoot string
	// SysRoot is where the host's sysfs is mounted, writable where VFs change their drivers; /sys if empty. See kernel.Sys.
	SysRoot string
	// NodeNamespace is the path of the namespace that has the uplinks; empty for that of the process.
	NodeNamespace string
	// AddressInUseWait is the constant of that name if 0.
	AddressInUseWait time.Duration
	// Guards keep pods to their own MAC and class; nil for none.
	Guards Guards
}

// Guards puts programs on the links of pods, where there are classes that pods could take from each other. Its methods run on a
// thread in the pod's namespace. A pod has its networks without a program, too: who reports the class tells of it.
type Guards interface {
	// Needed tells whether the attachment's link is to have one.
	Needed(p plan.Attachment) bool
	// Guard puts one on a link that needs one and has none.
	Guard(p plan.Attachment, index int)
	// Guarded tells whether the link has what it needs.
	Guarded(p plan.Attachment, index int) bool
}

// Attacher attaches pods of one node. Its methods may be called concurrently for different pods; calls for one
// pod must not overlap.
type Attacher struct {
	proc      kernel.Proc
	sys       kernel.Sys
	nodePath  string
	inUseWait time.Duration
	guards    Guards

	mu   sync.Mutex
	node *kernel.Namespace

	// segments is held for reading by what needs a link that pods share, and for writing by its removal.
	segments sync.RWMutex

	// before is called ahead of each step; tests fail or kill there.
	before func(network, iface string, step Step) error
}

// Result is one attached interface.
type Result struct {
	Interface string
	// MAC and MTU are read back from the kernel, Addresses are those that it acknowledged.
	MAC       net.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	IfIndex   int
	// Duration of the kernel work for this interface.
	Duration time.Duration
}

// New returns an Attacher. It opens nothing before it is used.
func New(options Options) *Attacher {
	wait := options.AddressInUseWait
	if wait == 0 {
		wait = AddressInUseWait
	}
	return &Attacher{proc: kernel.Proc(options.ProcRoot), sys: kernel.Sys(options.SysRoot), nodePath: options.NodeNamespace, inUseWait: wait, guards: options.Guards}
}

// Attach gives the pod whose namespace is at netnsPath all its interfaces, or none: results in the order of the
// attachments, or an *Error. It looks whether ctx has ended before each step, since a hook that overran its time is
// not stopped, and the pod would start with what it goes on to do. Guard is to follow.
func (a *Attacher) Attach(ctx context.Context, netnsPath string, attachments []plan.Attachment) ([]Result, error) {
	if len(attachments) == 0 {
		return nil, nil
	}
	defer a.holdSegments(attachments...)()
	results := make([]Result, 0, len(attachments))
	err := a.inside(ctx, netnsPath, attachments[0], StepNamespace, func(r *run) error {
		r.several = len(attachments) > 1
		for _, attachment := range attachments {
			result, err := r.attach(attachment)
			if err != nil {
				return r.undo.unwind(err)
			}
			results = append(results, result)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// inside runs work on a thread in the pod's namespace. Trouble on the way there is told as that of the first attachment.
func (a *Attacher) inside(ctx context.Context, netnsPath string, first plan.Attachment, s Step, work func(*run) error) error {
	if err := ctx.Err(); err != nil {
		return newError(first, s, err)
	}
	node, err := a.openNode()
	if err != nil {
		return newError(first, s, fmt.Errorf("the node's network namespace: %w", err))
	}
	entered := false
	err = kernel.Inside(netnsPath, func(pod *kernel.Namespace) error {
		entered = true
		return work(&run{Attacher: a, ctx: ctx, node: node, pod: pod})
	})
	if err != nil && !entered {
		return newError(first, s, err)
	}
	return err
}

// openNode opens the node's namespace once; its handle serves all attachments.
func (a *Attacher) openNode() (*kernel.Namespace, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node != nil {
		return a.node, nil
	}
	open := kernel.OpenNode
	if a.nodePath != "" {
		open = func() (*kernel.Namespace, error) { return kernel.OpenNamespace(a.nodePath) }
	}
	node, err := open()
	a.node = node
	return node, err
}
