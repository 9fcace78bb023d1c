package sandboxes

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// world is the node around a Keeper, in the bubble of a test: what the API server orders, what the kernel holds, what was written.
type world struct {
	mu      sync.Mutex
	orders  map[string]*v1alpha1.PodNetworkAttachment
	changed chan struct{}
	// links of each namespace, by interface.
	links map[string]map[string]bool
	// attachError fails attaches; attachTakes makes them slow.
	attachError error
	attachTakes time.Duration
	// waitsForMAC has an attach lose its patience over a MAC that is in use.
	waitsForMAC bool
	// conflict is what a probe finds, after probeTakes.
	conflict   []plan.Conflict
	probeError error
	probeTakes time.Duration
	probed     int
	// segments are the node's VLAN and VXLAN links; pruneError keeps them from being removed.
	segments map[plan.Segment]bool
	// overlays are those that live; ensureError fails them, and ensureTakes makes them slow.
	overlays    map[plan.Overlay]bool
	ensureError error
	ensureTakes time.Duration
	ensured     int
	announced   []string
	// guarded are the interfaces that were guarded, guardTakes how long that takes.
	guarded     []string
	guardTakes  time.Duration
	pruneError  error
	pruneLooked int
	carrier     bool
	ledger      map[types.UID]plan.Pod
	reports     []publish.Report
	released    []string
	vf          fakeVF
	nic         fakeNIC
	shaper      fakeShaper
	plugins     fakePlugins
	// given are the devices of device plugins that the pod's containers have, by resource.
	given      map[string][]string
	givenError error
	claimReads int
	// edited: the pod's selection was changed. selects: the node has a NIC for attachments without a claim.
	edited, selects bool
	// removeError keeps links from being removed.
	removeError error
	// compared is how often a sandbox was compared with its plan.
	compared int
	// listedAt is when the API server has told of the orders.
	listedAt time.Time
	keeper   *Keeper
	selected *records[Selected]
	present  *records[Present]
}

// records are in memory.
type records[T any] struct {
	mu     sync.Mutex
	values map[string]T
}

func newRecords[T any]() *records[T] { return &records[T]{values: map[string]T{}} }

func (r *records[T]) Put(key string, value T) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[key] = value
	return nil
}

func (r *records[T]) Get(key string) (value T, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok = r.values[key]
	return value, ok
}

func (r *records[T]) All() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.values))
}

func (r *records[T]) Delete(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.values, key)
	return nil
}

func newWorld(t *testing.T, pods ...plan.Pod) *world {
	w := &world{
		orders: map[string]*v1alpha1.PodNetworkAttachment{}, changed: make(chan struct{}),
		links: map[string]map[string]bool{}, carrier: true, ledger: map[types.UID]plan.Pod{},
		vf: newFakeVF(), probeTakes: 80 * time.Millisecond, segments: map[plan.Segment]bool{}, overlays: map[plan.Overlay]bool{},
		selected: newRecords[Selected](), present: newRecords[Present](),
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.keeper = New(ctx, Options{
		Log: logr.Discard(), Attachments: w, Ledger: w, Devices: devices{w}, Path: w, Publisher: w, Claims: claims{w},
		Overlays: overlays{w}, QoS: &w.shaper, Plugins: &w.plugins, Probe: w.probe, PodDevices: podDevices{w},
		Files:          Files{Dir: t.TempDir()},
		Numbers:        numbers,
		CDI:            CDI{Dir: t.TempDir()},
		TellNode:       func(reason, message string) { w.set(func() { w.vf.told = append(w.vf.told, reason+" "+message) }) },
		NamespaceLives: func(path string) bool { return w.hasNamespace(path) },
		Selected:       w.selected, Present: w.present, DeviceInfo: DeviceInfo{Dir: t.TempDir()}, Door: DoorNRI,
	}, pods)
	w.keeper.StartOverlays()
	w.keeper.StartQoS()
	done := make(chan struct{})
	go func() { defer close(done); w.keeper.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// probe takes what it takes; a conflict is seen as it is at the end.
func (w *world) probe(ctx context.Context, _ plan.Attachment) ([]plan.Conflict, error) {
	select {
	case <-time.After(w.probeTakes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probed++
	return w.conflict, w.probeError
}

func (w *world) order(pna *v1alpha1.PodNetworkAttachment) {
	w.mu.Lock()
	w.orders[pna.Name] = pna
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	w.keeper.Wake()
}

// remove is the end of an order.
func (w *world) remove(name string) {
	w.set(func() { delete(w.orders, name) })
	w.keeper.Wake()
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// asked is how often a probe has come to its end.
func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed
}

// try makes a sandbox as the runtime does, which takes a refused one away at once.
func (w *world) try(t *testing.T, id string) error {
	t.Helper()
	sandbox := box
	sandbox.ID, sandbox.NetNS = id, "/netns-"+id
	w.namespace(sandbox.NetNS)
	err := w.keeper.RunSandbox(t.Context(), sandbox)
	if err != nil {
		w.keeper.StopSandbox(t.Context(), sandbox)
		w.keeper.RemoveSandbox(id)
	}
	synctest.Wait()
	return err
}

func (w *world) hasNamespace(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[path] != nil
}

func (w *world) namespace(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links[path] = map[string]bool{}
}

func (w *world) interfaces(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.links[path])
}

func (w *world) lastReason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.reports) == 0 || len(w.reports[len(w.reports)-1].Interfaces) == 0 {
		return ""
	}
	return w.reports[len(w.reports)-1].Interfaces[0].Reason
}

func (w *world) releases() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.released...)
}

// Attachments.
func (w *world) Listed() bool { return w.untilListed() <= 0 }

func (w *world) WaitListed(context.Context) { time.Sleep(w.untilListed()) }

func (w *world) untilListed() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.listedAt)
}

func (w *world) All() []*v1alpha1.PodNetworkAttachment {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*v1alpha1.PodNetworkAttachment
	if time.Now().Before(w.listedAt) {
		return nil
	}
	for _, pna := range w.orders {
		all = append(all, pna)
	}
	return all
}
func (w *world) ForPod(types.UID) []*v1alpha1.PodNetworkAttachment { return w.All() }
func (w *world) WaitFor(ctx context.Context, _ types.UID, claim, request string) (*v1alpha1.PodNetworkAttachment, error) {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		for _, pna := range w.All() {
			if pna.Spec.PodClaimName == claim && pna.Spec.Request == request && pna.DeletionTimestamp == nil {
				return pna, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Ledger.
func (w *world) Put(p plan.Pod) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger[p.UID] = p
	return nil
}
func (w *world) Delete(uid types.UID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ledger, uid)
	return nil
}

// Path.
func (w *world) Attach(ctx context.Context, netns string, attachments []plan.Attachment) ([]attach.Result, error) {
	time.Sleep(w.attachTakes)
	if w.waitsForMAC {
		time.Sleep(attach.Patience(ctx, attach.AddressInUseWait))
		return nil, errors.New("MAC is in use")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.attachError != nil {
		return nil, w.attachError
	}
	var results []attach.Result
	for _, a := range attachments {
		segment, shared := a.Segment()
		if a.Overlay != nil && !w.segments[segment] {
			return nil, &attach.Error{Network: a.Network, Interface: a.Interface, Step: attach.StepUplink, Err: plumb.ErrOverlayMissing}
		}
		if shared {
			w.segments[segment] = true
		}
		if a.VF != nil {
			w.vf.state.VLAN, w.vf.state.Interface = vfVLAN, ""
		}
		if a.HostDevice != nil {
			w.nic.in = netns
		}
		w.links[netns][a.Interface] = true
		results = append(results, attach.Result{Interface: a.Interface, MAC: net.HardwareAddr(a.MAC), MTU: 1500, Addresses: a.Addresses})
	}
	return results, nil
}
func (w *world) Check(_ context.Context, netns string, attachments []plan.Attachment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compared++
	for _, a := range attachments {
		if !w.links[netns][a.Interface] {
			return errors.New("the interface is missing")
		}
	}
	return nil
}
func (w *world) Guard(_ context.Context, netns string, attachments []plan.Attachment) error {
	w.mu.Lock()
	takes := w.guardTakes
	w.mu.Unlock()
	<-time.After(takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range attachments {
		w.guarded = append(w.guarded, netns+" "+a.Interface)
	}
	return nil
}
func (w *world) ReleaseAddresses(context.Context, string, []plan.Attachment) error { return nil }
func (w *world) RemoveLinks(_ context.Context, netns string, attachments []plan.Attachment) error {
	w.awaitNIC(attachments)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.removeError != nil {
		return w.removeError
	}
	for _, a := range attachments {
		delete(w.links[netns], a.Interface)
		if a.VF != nil {
			w.vf.back(a)
		}
		if a.HostDevice != nil {
			if err := w.giveBackNIC(a); err != nil {
				return err
			}
		}
	}
	return nil
}
func (w *world) Announce(_ context.Context, _ string, attachments []plan.Attachment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range attachments {
		w.announced = append(w.announced, a.Interface)
	}
	return nil
}

// PruneSegments takes the pods' links along, as the kernel does; tests see them missing.
func (w *world) PruneSegments(planned func() ([]plan.Segment, bool)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pruneLooked++
	if w.pruneError != nil {
		return w.pruneError
	}
	segments, known := planned()
	if !known {
		return attach.ErrBusy
	}
	for segment := range w.segments {
		if !slices.Contains(segments, segment) {
			delete(w.segments, segment)
		}
	}
	return nil
}

// Publisher.
func (w *world) Publish(r publish.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, r)
}
func (w *world) Release(_, name string, _ types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.released = append(w.released, name)
}
func (w *world) Forget(types.UID) {}

type devices struct{ *world }

func (d devices) Device(name string) (plan.Device, bool) {
	if name == overlayDevice.Name {
		return overlayDevice, true
	}
	if name == vfDevice.Name {
		return vfDevice, true
	}
	if name == v1alpha1.CNIDeviceName {
		return plan.Device{Name: name}, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return plan.Device{Name: name, Uplink: "eth1", Driver: d.nic.driver}, name == "uplink-eth1"
}
func (d devices) Select(v1alpha1.UplinkSelector) (plan.Device, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return plan.Device{Name: "uplink-eth1", Uplink: "eth1"}, d.selects
}
func (devices) Overlay() (plan.Device, bool) { return overlayDevice, true }
func (d devices) Carrier(plan.Device) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.carrier
}

type claims struct{ *world }

func (c claims) ForPod(_ context.Context, _, _ string, _ types.UID, _, request string) (*plan.Claim, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimReads++
	return &plan.Claim{Name: "claim", Request: request, Device: "uplink-eth1"}, nil
}

func (c claims) Edited(context.Context, string, string, types.UID) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edited, nil
}

func attachmentOrder() *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "order-a", Finalizers: []string{v1alpha1.FinalizerRelease}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: "p", UID: "pod"}, NetworkName: "storage", NodeName: "node", Interface: "net1",
			PodClaimName: "multinet-storage-0", Request: "nic", Type: v1alpha1.NetworkTypeMacvlan, Macvlan: &v1alpha1.MacvlanSpec{},
			MAC: "02:00:00:00:00:01", Addresses: []v1alpha1.AttachmentAddress{{Address: "10.20.0.5/24"}},
		},
	}
}

func deletedOrder() *v1alpha1.PodNetworkAttachment { return deleted(attachmentOrder()) }

func deleted(pna *v1alpha1.PodNetworkAttachment) *v1alpha1.PodNetworkAttachment {
	pna.DeletionTimestamp = &metav1.Time{}
	return pna
}

// ofNextPod is the order of another pod, to which the scheduler gave the same device, and requestOfNextPod its claim's request.
func ofNextPod(pna *v1alpha1.PodNetworkAttachment) *v1alpha1.PodNetworkAttachment {
	pna.Name, pna.UID, pna.Spec.Pod, pna.Spec.PodClaimName = "b", "order-b", v1alpha1.PodReference{Name: "q", UID: "next"}, "multinet-next-0"
	return pna
}

func requestOfNextPod(r Request) Request {
	r.PodName, r.PodUID, r.PodClaimName = "q", "next", "multinet-next-0"
	return r
}

var (
	request = Request{Namespace: "ns", PodName: "p", PodUID: "pod", PodClaimName: "multinet-storage-0",
		Claim: plan.Claim{Name: "claim", Request: "nic", Device: "uplink-eth1"}, Network: "storage"}
	box = Sandbox{ID: "box", Namespace: "ns", Name: "p", PodUID: "pod", NetNS: "/netns", Selection: "storage"}
)
