package sandboxes

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var overlayDevice = plan.Device{Name: "overlay", Uplink: "eth0"}

// overlays are those of the world.
type overlays struct{ *world }

func (o overlays) Start(list []plan.Overlay) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, each := range list {
		o.overlays[each] = true
	}
}

func (o overlays) Ensure(ctx context.Context, each plan.Overlay) error {
	o.mu.Lock()
	takes := o.ensureTakes
	o.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ensured++
	if o.ensureError == nil {
		o.overlays[each], o.segments[plan.Segment{Overlay: each}] = true, true
	}
	return o.ensureError
}

func (o overlays) Keep(planned func() ([]plan.Overlay, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list, known := planned()
	for each := range o.overlays {
		if known && !slices.Contains(list, each) {
			delete(o.overlays, each)
		}
	}
}

var rackOverlay = plan.Overlay{Network: "storage", Rack: "r1", VNI: 5000, Port: 4789, Local: netip.MustParseAddr("172.18.0.2")}

func overlayOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Spec.Type, pna.Spec.Macvlan = v1alpha1.NetworkTypeRackLocal, nil
	pna.Spec.RackLocal = &v1alpha1.AttachmentRack{Rack: "r1", Overlay: &v1alpha1.AttachmentOverlay{VNI: 5000, Port: 4789, NodeAddress: "172.18.0.2"}}
	return pna
}

func overlayRequest() Request {
	r := request
	r.Claim.Device = overlayDevice.Name
	return r
}

// lives tells whether the overlay, and its link, are there.
func (w *world) lives() (overlay, link bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.overlays[rackOverlay], w.segments[plan.Segment{Overlay: rackOverlay}]
}

// prepareOverlay returns a world in which the pod is prepared for an overlay.
func prepareOverlay(t *testing.T) *world {
	w := newWorld(t)
	w.keeper.Synchronize(nil)
	w.order(overlayOrder())
	if err := w.keeper.Prepare(t.Context(), overlayRequest()); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPrepareWaitsForTheOverlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(overlayOrder())
		w.set(func() { w.ensureTakes = 20 * time.Second })
		begin := time.Now()
		if err := w.keeper.Prepare(t.Context(), overlayRequest()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("prepared after %s", took)
		}
		if overlay, link := w.lives(); !overlay || !link {
			t.Errorf("overlay %v, link %v", overlay, link)
		}
		if err := w.try(t, box.ID); err != nil {
			t.Fatal(err)
		}
		if w.asked() != 0 || len(w.announced) != 0 {
			t.Errorf("%d probes and announcements of %v on an overlay", w.asked(), w.announced)
		}
	})
}

func TestPrepareTellsWhatTheOverlayLacks(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*world)
		want string
	}{
		"fails":      {func(w *world) { w.ensureError = errors.New(`rack "r1": VNI taken`) }, `interface net1: overlay: rack "r1": VNI taken`},
		"never ends": {func(w *world) { w.ensureTakes = time.Hour }, `interface net1: overlay: context deadline exceeded`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.keeper.Synchronize(nil)
				w.order(overlayOrder())
				w.set(func() { test.set(w) })
				begin := time.Now()
				if err := w.keeper.Prepare(t.Context(), overlayRequest()); err == nil || err.Error() != test.want {
					t.Errorf("error %v, want %q", err, test.want)
				}
				if took := time.Since(begin); took > prepareLimit {
					t.Errorf("Prepare took %s", took)
				}
			})
		})
	}
}

func TestOverlayEndsWithItsLastPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepareOverlay(t)
		if err := w.try(t, box.ID); err != nil {
			t.Fatal(err)
		}
		pna := overlayOrder()
		pna.DeletionTimestamp = deletedOrder().DeletionTimestamp
		w.order(pna)
		time.Sleep(time.Minute)
		if overlay, link := w.lives(); !overlay || !link {
			t.Fatalf("overlay %v, link %v while the pod runs", overlay, link)
		}
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		if overlay, link := w.lives(); overlay || link {
			t.Errorf("overlay %v, link %v when the last plan has gone", overlay, link)
		}
	})
}

// The order goes while Prepare waits for the overlay, which would be made after all were looked at.
func TestOverlayMadeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(overlayOrder())
		w.set(func() { w.ensureTakes = time.Second })
		go func() { time.Sleep(500 * time.Millisecond); w.remove("a") }()
		if err := w.keeper.Prepare(t.Context(), overlayRequest()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if overlay, link := w.lives(); overlay || link {
			t.Errorf("overlay %v, link %v for a pod that is gone", overlay, link)
		}
	})
}

// Somebody removes the link between Prepare and the sandbox: the hook fails at once, and the runtime's next try succeeds.
func TestHookFindsNoOverlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepareOverlay(t)
		w.set(func() { clear(w.segments) })
		begin := time.Now()
		err := w.try(t, "first")
		if err == nil || !strings.Contains(err.Error(), "no VXLAN link") || time.Since(begin) != 0 {
			t.Errorf("error %v after %s", err, time.Since(begin))
		}
		if got := w.lastReason(); got != v1alpha1.ReasonAttachFailed {
			t.Errorf("reported %q", got)
		}
		if err := w.try(t, "second"); err != nil {
			t.Error(err)
		}
	})
}

// The link goes, and the pods' links with it.
func TestRepairMakesTheOverlayFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepareOverlay(t)
		if err := w.try(t, box.ID); err != nil {
			t.Fatal(err)
		}
		w.set(func() { clear(w.segments); clear(w.links["/netns-"+box.ID]); w.ensureError = errors.New("no memory") })
		w.keeper.UplinksChanged()
		synctest.Wait()
		if got := w.lastReason(); got != v1alpha1.ReasonAttachFailed {
			t.Errorf("reported %q while the overlay cannot be made", got)
		}
		w.set(func() { w.ensureError = nil })
		w.keeper.UplinksChanged()
		synctest.Wait()
		if got := w.lastReason(); got != v1alpha1.ReasonAttached || w.interfaces("/netns-"+box.ID) != 1 {
			t.Errorf("reported %q, %d interfaces", got, w.interfaces("/netns-"+box.ID))
		}
	})
}

// An agent that starts begins the overlays of its plans before anything else, and leaves them alone where they are right.
func TestOverlaysAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := plan.FromAttachment(overlayOrder(), overlayDevice, nil)
		if err != nil {
			t.Fatal(err)
		}
		other := a
		other.Name, other.Overlay = "gone", &plan.Overlay{Network: "storage", Rack: "r9", VNI: 5009}
		w := newWorld(t, plan.Pod{Namespace: "ns", Name: "p", UID: "pod", Attachments: []plan.Attachment{a}},
			plan.Pod{Namespace: "ns", Name: "q", UID: "gone", Attachments: []plan.Attachment{other}})
		w.set(func() {
			w.segments[plan.Segment{Overlay: rackOverlay}] = true
			w.links[box.NetNS] = map[string]bool{"net1": true}
			if !w.overlays[rackOverlay] || !w.overlays[*other.Overlay] {
				t.Errorf("begun: %v", w.overlays)
			}
		})
		w.order(overlayOrder())
		w.keeper.Synchronize([]Sandbox{box})
		time.Sleep(time.Minute)
		if overlay, link := w.lives(); !overlay || !link || w.interfaces(box.NetNS) != 1 {
			t.Errorf("overlay %v, link %v, %d interfaces after the start", overlay, link, w.interfaces(box.NetNS))
		}
		if w.overlays[*other.Overlay] {
			t.Error("the overlay of a plan that nobody ordered lives on")
		}
	})
}

// The claim of a pod whose Network has no claims, as with the JSON form of the annotation: the agent chooses the device.
func TestDeviceWithoutClaim(t *testing.T) {
	w := &Keeper{Options: Options{Devices: devices{&world{}}}}
	device, err := w.deviceFor(overlayOrder(), nil)
	if err != nil || device != overlayDevice {
		t.Errorf("device %+v, error %v", device, err)
	}
	uplink := overlayOrder()
	uplink.Spec.RackLocal.Overlay, uplink.Spec.RackLocal.Uplink = nil, &v1alpha1.RackUplinkSpec{}
	if _, err := w.deviceFor(uplink, nil); err == nil {
		t.Error("a NIC for a Network that selects none")
	}
}
