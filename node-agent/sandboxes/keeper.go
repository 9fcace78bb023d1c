package sandboxes

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// Attachments are the orders for this node, as watch.Attachments knows them.
type Attachments interface {
	Listed() bool
	// WaitListed returns when Listed is true or ctx ends.
	WaitListed(ctx context.Context)
	All() []*v1alpha1.PodNetworkAttachment
	ForPod(types.UID) []*v1alpha1.PodNetworkAttachment
	WaitFor(ctx context.Context, podUID types.UID, podClaimName, request string) (*v1alpha1.PodNetworkAttachment, error)
}

// Ledger keeps plans over a restart.
type Ledger interface {
	Put(plan.Pod) error
	Delete(types.UID) error
}

// Devices are the node's NICs.
type Devices interface {
	// Device returns a NIC by its name in the node's pool.
	Device(name string) (plan.Device, bool)
	// Select returns a NIC that a Network admits, for attachments without a claim, and Overlay the device of overlays.
	Select(v1alpha1.UplinkSelector) (plan.Device, bool)
	Overlay() (plan.Device, bool)
	// VFs are the virtual functions.
	VFs() []plan.Device
	// Carrier tells whether the NIC is there and has a carrier.
	Carrier(plan.Device) bool
	// SetDirty keeps a VF, by its PCI address, or a NIC, by its name, from being offered for a reason of at most 63 letters, and offers it again for none. It tells whether that
	// is a change.
	SetDirty(device, reason string) bool
}

// Path is the attach path, as attach.Attacher is it.
type Path interface {
	Attach(ctx context.Context, netns string, attachments []plan.Attachment) ([]attach.Result, error)
	Check(ctx context.Context, netns string, attachments []plan.Attachment) error
	// Guard follows Attach, and holds the links to their classes.
	Guard(ctx context.Context, netns string, attachments []plan.Attachment) error
	ReleaseAddresses(ctx context.Context, netns string, attachments []plan.Attachment) error
	RemoveLinks(ctx context.Context, netns string, attachments []plan.Attachment) error
	Announce(ctx context.Context, netns string, attachments []plan.Attachment) error
	// VFState is what a VF of the node is like, ConfigureVF makes it what an attachment needs, QualifyVF tells the card of its QoSClass.
	VFState(plan.Attachment) (plan.VFState, error)
	ConfigureVF(context.Context, plan.Attachment) error
	QualifyVF(plan.Attachment) (plan.VFOutcome, error)
	// NICState is what a NIC is like, and why no pod can have it, as a clause; "" where one can.
	NICState(plan.Attachment) (state plan.NICState, inUse string, err error)
	// GiveBack makes VFs and NICs what they were.
	GiveBack(ctx context.Context, netns string, attachments []plan.Attachment) error
	// PruneSegments removes the links of VLANs and overlays that are not planned. It returns attach.ErrBusy where it has to be tried again.
	PruneSegments(planned func() (segments []plan.Segment, known bool)) error
}

// Plugins are CNI plugins of the node, as delegate.Plugins runs them for attachments that have a plan.CNI.
type Plugins interface {
	// Add has an interface made. One that is there is left as it is, and added false.
	Add(ctx context.Context, sandbox Sandbox, a plan.Attachment) (made publish.Interface, added bool, err error)
	// Made is what Add has made, in this process or an earlier one.
	Made(sandbox Sandbox, a plan.Attachment) (made publish.Interface, found bool)
	// Look compares the interface with what was made; Check has the plugins do so as well.
	Look(ctx context.Context, sandbox Sandbox, a plan.Attachment) error
	Check(ctx context.Context, sandbox Sandbox, a plan.Attachment) error
	// Del takes an interface away. It is no error that there is none.
	Del(ctx context.Context, sandbox Sandbox, a plan.Attachment) error
	// Prune takes away what was made for sandboxes that are no more.
	Prune(ctx context.Context, lives func(sandboxID string) bool) error
}

// Overlays are the node's parts of racks' VXLAN segments, as overlay.Manager keeps them.
type Overlays interface {
	// Start begins overlays without waiting for them.
	Start([]plan.Overlay)
	// Ensure returns when the kernel has the overlay, which must be planned before.
	Ensure(context.Context, plan.Overlay) error
	// Keep ends the overlays that are not planned.
	Keep(planned func() (overlays []plan.Overlay, known bool))
}

// Publisher tells the API server. None of its methods block.
type Publisher interface {
	Publish(publish.Report)
	// Release lets the finalizer of an attachment go.
	Release(namespace, name string, uid types.UID)
	// Forget ends what is kept in memory for a pod.
	Forget(podUID types.UID)
}

// Claims reads the API server for a pod whose plan was lost; ordinary life does not need it.
type Claims interface {
	// ForPod returns the device of a request, of the claim behind an entry of a pod's spec.resourceClaims.
	ForPod(ctx context.Context, namespace, name string, podUID types.UID, podClaimName, request string) (*plan.Claim, error)
	// Edited tells whether the selection of a pod was changed since its creation.
	Edited(ctx context.Context, namespace, name string, podUID types.UID) (bool, error)
}

// PodDevices are the devices of device plugins that the kubelet has given to a pod's containers, as podresources.Kubelet asks for them.
type PodDevices interface {
	// IDs are those of one resource, always in the same order.
	IDs(ctx context.Context, pod plan.Pod, resource string) ([]string, error)
}

// Probe looks for other users of an attachment's addresses on the segment that it will be on.
type Probe func(ctx context.Context, a plan.Attachment) ([]plan.Conflict, error)

// Options of a Keeper. All are needed.
type Options struct {
	Log         logr.Logger
	Attachments Attachments
	Ledger      Ledger
	Devices     Devices
	Path        Path
	Plugins     Plugins
	Overlays    Overlays
	QoS         Shaper
	Publisher   Publisher
	Claims      Claims
	PodDevices  PodDevices
	Probe       Probe
	// CDI is where the runtime looks for devices.
	CDI CDI
	// Files is where each pod's networks.json is written, DeviceInfo what others read of the devices of pods.
	Files      Files
	DeviceInfo DeviceInfo
	// Selected is by pod UID, Present by the runtime's ID of the sandbox.
	Selected Records[Selected]
	Present  Records[Present]
	// Door by which the runtime reaches the agent.
	Door Door
	// Numbers are those of a device's file, by its entry in sysfs.
	Numbers func(entry string) (major, minor int64, err error)
	// TellNode makes an event on the Node, for what happens to VFs that belong to no pod any more. It does not block.
	TellNode func(reason, message string)
	// NamespaceLives tells whether a path still is a network namespace.
	NamespaceLives func(path string) bool
}

// verifyEvery is how often the links of every sandbox are looked at: a link that was deleted inside of a pod gives
// no event on the host.
const verifyEvery = 15 * time.Second

// Keeper holds the node's sandboxes to what is ordered for them.
type Keeper struct {
	Options
	state  *state
	probes probes
	wake   chan struct{}
	// shapeDue has an item while the classes are to be looked at.
	shapeDue chan struct{}
	// verifying bounds how many sandboxes are looked at at once.
	verifying chan struct{}
	// ledgerMu makes read, change and write of one pod's plan one step.
	ledgerMu  sync.Mutex
	lentLocks lentLocks
	removals  *removals
	// selectedMu makes read, change and write of what one pod selects one step.
	selectedMu sync.Mutex
	// reporting makes a look at a sandbox and the report of it one step.
	reporting sync.Mutex
	// numVFs is held for writing while the number of a PF's VFs changes.
	numVFs sync.RWMutex
	// inspecting makes looks at the VFs that nobody has one after the other; inspectDue is set while one is due.
	inspecting sync.Mutex
	inspectDue atomic.Bool
	// pruning is held while what plugins have made for sandboxes that are no more is taken away.
	pruning sync.Mutex
	// pruneDue is set while VLAN links may be there that no plan needs, as after a start.
	pruneDue atomic.Bool
	// released are the attachments whose finalizer the publisher was told to remove; used by the loop only.
	released map[types.UID]bool
	// contested are dropped plans in whose place a new order is expected; used by the loop only.
	contested map[planned]contested
	// base is the context of work that outlives a hook.
	base context.Context
}

// New returns a Keeper that knows the plans of the ledger. base ends the work that it starts in the background.
func New(base context.Context, o Options, pods []plan.Pod) *Keeper {
	k := &Keeper{
		Options:   o,
		state:     newState(pods),
		probes:    probes{latest: map[types.NamespacedName]*probe{}},
		wake:      make(chan struct{}, 1),
		shapeDue:  make(chan struct{}, 1),
		verifying: make(chan struct{}, 4),
		released:  map[types.UID]bool{},
		contested: map[planned]contested{},
		removals:  newRemovals(),
		base:      base,
	}
	k.lentLocks.locks = map[string]chan struct{}{}
	k.pruneDue.Store(true)
	k.inspectDue.Store(true)
	if err := k.CDI.Prune(pods); err != nil { // before anybody can write one
		k.Log.Info("start", "cause", err.Error())
	}
	return k
}

// Wake has the loop look at the world again.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// UplinksChanged has every sandbox verified.
func (k *Keeper) UplinksChanged() {
	k.inspectDue.Store(true)
	k.state.markDue()
	k.shape()
	k.Wake()
}

// Inspect has the VFs looked at that nobody has: one that was not offered may be clean by now.
func (k *Keeper) Inspect() {
	k.inspectDue.Store(true)
	k.Wake()
}

// Run decides and acts after each wake until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	go k.renewLent()
	go k.runQoS(ctx)
	k.shape()
	for {
		k.requalify()
		k.qualifyVFs()
		k.act(k.decide())
		k.planReplacements(time.Now())
		if k.inspectDue.CompareAndSwap(true, false) {
			go k.inspect()
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-tick.C:
			k.state.markDue()
			k.inspectDue.Store(true)
			k.shape()
		}
	}
}

func (k *Keeper) decide() actions {
	k.forgetGone()
	// Orders before sandboxes: a hook that begins in between is then seen holding.
	listed, orders := k.Attachments.Listed(), k.Attachments.All()
	k.state.involve(orders)
	snap := k.state.snapshot()
	snap.Listed = listed
	for _, pna := range orders {
		snap.Orders = append(snap.Orders, orderOf(pna))
	}
	return decide(snap)
}

// forgetGone forgets sandboxes whose namespace is gone. A runtime does not tell of all of them: after a restart of
// its own, containerd 2.4 sends neither StopPodSandbox nor RemovePodSandbox for the sandboxes that were there before.
func (k *Keeper) forgetGone() {
	for _, e := range k.state.idle() {
		if !k.NamespaceLives(e.NetNS) {
			k.forget(e.ID)
		}
	}
}

func orderOf(pna *v1alpha1.PodNetworkAttachment) order {
	o := order{
		Namespace: pna.Namespace, Name: pna.Name, UID: pna.UID,
		PodUID: pna.Spec.Pod.UID, Deleting: pna.DeletionTimestamp != nil,
		Interface: string(pna.Spec.Interface), Detach: pna.Spec.Detach,
	}
	for _, f := range pna.Finalizers {
		o.Finalizer = o.Finalizer || f == v1alpha1.FinalizerRelease
	}
	return o
}

func (k *Keeper) act(a actions) {
	for _, p := range a.Drop {
		k.drop(p)
	}
	k.giveBack(time.Now())
	k.prune()
	go k.prunePlugins()
	k.release(a.Release)
	for _, id := range a.Verify {
		if e, mine := k.state.startVerify(id); mine {
			go k.verify(e)
		}
	}
}

// drop forgets one planned attachment: first in memory, where the hook looks, then in the ledger.
func (k *Keeper) drop(p planned) {
	k.ledgerMu.Lock()
	defer k.ledgerMu.Unlock()
	dropped, ok := k.state.dropPlan(p)
	if !ok {
		return
	}
	k.expectReplacement(p, dropped, time.Now())
	k.CDI.Remove(dropped)
	k.probes.forget(p)
	k.used(p.PodUID, []plan.Attachment{dropped})
	k.shape()
	k.letGo(p.PodUID)
	if err := k.record(k.state.record(p.PodUID)); err != nil {
		// The plan comes back with the next start and is dropped then.
		k.Log.Error(err, "ledger", "podUID", p.PodUID)
	}
}

// letGo ends what is there for a pod that has no plan, nor a sandbox that may have had one and lost it.
func (k *Keeper) letGo(podUID types.UID) {
	if _, planned := k.state.plan(podUID); !planned && !k.state.holding(podUID) {
		k.Files.Remove(podUID)
		k.Publisher.Forget(podUID)
	}
}

// record writes what is left of a pod.
func (k *Keeper) record(pod plan.Pod) error {
	if len(pod.Attachments) == 0 {
		return k.Ledger.Delete(pod.UID)
	}
	return k.Ledger.Put(pod)
}

// release lets finalizers go, each once, of pods whose plan is out of reach of the hook and whose devices are clean or not offered.
func (k *Keeper) release(orders []order) {
	still := make(map[types.UID]bool, len(orders))
	for _, o := range orders {
		if k.state.uses(o.PodUID, o.Interface) || k.state.restores(o.PodUID, o.Name) {
			continue
		}
		if !k.released[o.UID] {
			k.Publisher.Release(o.Namespace, o.Name, o.UID)
		}
		still[o.UID] = true
	}
	k.released = still
}
