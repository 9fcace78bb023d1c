package sandboxes

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

func taggedOrder(name, iface string, vlan int32) *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Name, pna.UID, pna.Spec.Interface = name, types.UID("order-"+name), v1alpha1.InterfaceName(iface)
	if vlan != 0 {
		pna.Spec.Macvlan.VLAN = &vlan
	}
	return pna
}

func planOf(t *testing.T, pna *v1alpha1.PodNetworkAttachment) plan.Attachment {
	t.Helper()
	a, err := plan.FromAttachment(pna, plan.Device{Name: "uplink-eth1", Uplink: "eth1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func podOf(t *testing.T, uid types.UID, orders ...*v1alpha1.PodNetworkAttachment) plan.Pod {
	pod := plan.Pod{Namespace: "ns", Name: "p", UID: uid}
	for _, pna := range orders {
		pod.Attachments = append(pod.Attachments, planOf(t, pna))
	}
	return pod
}

func onVLAN(id int) plan.Segment { return plan.Segment{VLAN: plan.VLAN{Uplink: "eth1", ID: id}} }

func (w *world) hasVLAN(id int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.segments[onVLAN(id)]
}

// looked is how often the node's VLAN links were looked at.
func (w *world) looked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pruneLooked
}

// runTagged returns a world in which the pod runs on VLAN 100.
func runTagged(t *testing.T) *world {
	w := newWorld(t)
	w.keeper.Synchronize(nil)
	w.order(taggedOrder("a", "net1", 100))
	if err := w.keeper.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if err := w.try(t, box.ID); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) deleteTagged() {
	pna := taggedOrder("a", "net1", 100)
	pna.DeletionTimestamp = deletedOrder().DeletionTimestamp
	w.order(pna)
}

func TestVLANGoesWithItsLastPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runTagged(t)
		time.Sleep(time.Minute)
		w.deleteTagged()
		synctest.Wait()
		if !w.hasVLAN(100) {
			t.Fatal("the VLAN link went while its pod runs")
		}
		looked := w.looked()
		w.set(func() { w.pruneError = attach.ErrBusy })
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		if w.looked() == looked || !w.hasVLAN(100) {
			t.Errorf("looked %d times, link there: %v", w.looked()-looked, w.hasVLAN(100))
		}
		w.set(func() { w.pruneError = nil })
		time.Sleep(verifyEvery + time.Second)
		if w.hasVLAN(100) {
			t.Error("no plan is left, but the VLAN link is")
		}
		looked = w.looked()
		time.Sleep(time.Hour)
		if w.looked() != looked {
			t.Errorf("looked for VLAN links %d times without a reason", w.looked()-looked)
		}
	})
}

// A probe or an attach that was under way when its plan went makes the link after the look that this caused.
func TestVLANMadeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		synctest.Wait()
		a := planOf(t, taggedOrder("a", "net1", 100))
		w.set(func() { w.segments[onVLAN(100)] = true })
		w.keeper.look("pod", a, &probe{done: make(chan struct{})})
		synctest.Wait()
		if w.hasVLAN(100) {
			t.Error("the VLAN link of a late probe stays")
		}
	})
}

// TestVLANAtStart is about links that an earlier process has left.
func TestVLANAtStart(t *testing.T) {
	for name, test := range map[string]struct {
		ledger []plan.Pod
		listed []Sandbox
		order  *v1alpha1.PodNetworkAttachment
		// unsynchronized: the runtime has not listed its sandboxes.
		unsynchronized bool
		want           bool
	}{
		"no plan needs it":                  {},
		"a plan needs it":                   {ledger: []plan.Pod{podOf(t, "pod", taggedOrder("a", "net1", 100))}, order: taggedOrder("a", "net1", 100), want: true},
		"a plan on another VLAN":            {ledger: []plan.Pod{podOf(t, "pod", taggedOrder("a", "net1", 7))}, order: taggedOrder("a", "net1", 7)},
		"the runtime is not connected":      {unsynchronized: true, want: true},
		"a plan that nobody ordered":        {ledger: []plan.Pod{podOf(t, "pod", taggedOrder("a", "net1", 100))}},
		"ledger lost, its pod runs":         {listed: []Sandbox{box}, order: taggedOrder("a", "net1", 100), want: true},
		"ledger lost, and what was ordered": {listed: []Sandbox{box}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.ledger...)
				w.set(func() { w.segments[onVLAN(100)] = true })
				w.namespace(box.NetNS)
				if test.order != nil {
					w.order(test.order)
				}
				if !test.unsynchronized {
					w.keeper.Synchronize(test.listed)
				}
				time.Sleep(time.Minute)
				if got := w.hasVLAN(100); got != test.want {
					t.Errorf("the VLAN link is there: %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestPruneErrorIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() {
			w.pruneError = errors.New("netlink: no buffer space")
			w.segments[onVLAN(100)] = true
		})
		w.keeper.Synchronize(nil)
		synctest.Wait()
		w.set(func() { w.pruneError = nil })
		time.Sleep(verifyEvery + time.Second)
		if w.hasVLAN(100) {
			t.Error("the VLAN link stays after the error")
		}
	})
}

func TestStateSegments(t *testing.T) {
	pod := podOf(t, "pod", taggedOrder("a", "net1", 100), taggedOrder("b", "net2", 100), taggedOrder("c", "net3", 0), taggedOrder("d", "net4", 200))
	hundreds := []plan.Segment{onVLAN(100), onVLAN(200)}
	sandbox := func(uid types.UID, selected string) Sandbox {
		return Sandbox{ID: "box", PodUID: uid, NetNS: "/netns", Selection: selected}
	}
	for name, test := range map[string]struct {
		sandbox   Sandbox
		phase     phase
		want      []plan.Segment
		wantKnown bool
	}{
		"each once":                        {sandbox: sandbox("pod", "storage@net1,storage@net2,storage@net3,storage@net4"), phase: attached, want: hundreds, wantKnown: true},
		"a sandbox without a plan":         {sandbox: sandbox("other", "storage"), phase: found},
		"a sandbox with a part of it":      {sandbox: sandbox("pod", "storage@net1,storage@net9"), phase: broken},
		"a stopped sandbox without a plan": {sandbox: sandbox("other", "storage"), phase: stopped, want: hundreds, wantKnown: true},
		"a selection that cannot be read":  {sandbox: sandbox("other", "storage@toolonginterfacename"), phase: broken, want: hundreds, wantKnown: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState([]plan.Pod{pod})
			if _, known := s.segments(); known {
				t.Error("known before the runtime has listed its sandboxes")
			}
			s.replace([]Sandbox{test.sandbox})
			s.connect()
			e, _ := s.entry("box")
			s.setPhase(e, test.phase)
			got, known := s.segments()
			less := cmpopts.SortSlices(func(a, b plan.Segment) bool { return a.VLAN.ID < b.VLAN.ID })
			if diff := cmp.Diff(test.want, got, less, cmpopts.EquateComparable(netip.Addr{})); diff != "" || known != test.wantKnown {
				t.Errorf("known %v, want %v: %s", known, test.wantKnown, diff)
			}
			s.disconnect()
			if _, known := s.segments(); known {
				t.Error("known while the runtime is not connected")
			}
		})
	}
}
