package sandboxes

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// addedOrder is one more interface of the pod, without a claim.
func addedOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Name, pna.UID = "b", "order-b"
	pna.Spec.NetworkName, pna.Spec.Interface, pna.Spec.PodClaimName, pna.Spec.Request = "rack", "net2", "", ""
	pna.Spec.MAC, pna.Spec.Addresses = "02:00:00:00:00:02", []v1alpha1.AttachmentAddress{{Address: "10.50.0.5/24"}}
	return pna
}

// detached is an order of which the operator says that the pod goes on without it.
func detached(pna *v1alpha1.PodNetworkAttachment) *v1alpha1.PodNetworkAttachment {
	pna.Spec.Detach, pna.DeletionTimestamp = true, &metav1.Time{}
	return pna
}

func (w *world) names(path string) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.links[path] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (w *world) report() publish.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reports[len(w.reports)-1]
}

// told are the interfaces of the last report, with their reasons.
func (w *world) told() (told []string) {
	for _, i := range w.report().Interfaces {
		told = append(told, i.Plan.Interface+" "+i.Reason)
	}
	return told
}

func (w *world) has(t *testing.T, links, told []string) {
	t.Helper()
	if diff := cmp.Diff(links, w.names(box.NetNS)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(told, w.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// restarted is the agent after it was killed, with what is on the disk and in the kernel.
func (w *world) restarted(t *testing.T) *world {
	w.mu.Lock()
	pods := make([]plan.Pod, 0, len(w.ledger))
	for _, pod := range w.ledger {
		pods = append(pods, pod)
	}
	w.mu.Unlock()
	next := newWorld(t, pods...)
	next.orders, next.links, next.ledger, next.selects = w.orders, w.links, w.ledger, w.selects
	next.keeper.Present, next.keeper.Selected = w.present, w.selected
	next.present, next.selected = w.present, w.selected
	next.keeper.Synchronize([]Sandbox{box})
	synctest.Wait()
	return next
}

func TestInterfaceComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.selects = true
		w.order(addedOrder())
		time.Sleep(time.Second)
		w.has(t, []string{"net1", "net2"}, []string{"net1 Attached", "net2 Attached"})
		if w.asked() != 2 {
			t.Errorf("%d probes, want one of each interface", w.asked())
		}
		container, err := w.keeper.CheckSandbox(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(container.NetworksFile); err != nil || !strings.Contains(string(data), "10.50.0.5/24") {
			t.Errorf("networks.json: %v\n%s", err, data)
		}

		w.order(detached(attachmentOrder()))
		synctest.Wait()
		w.has(t, []string{"net2"}, []string{"net2 Attached"})
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" {
			t.Errorf("released (-want +got):\n%s", diff)
		}
		if freed := w.report().Freed; len(freed) != 1 || freed[0].Name != "claim" {
			t.Errorf("claims that carry nothing: %v", freed)
		}
		if data, err := os.ReadFile(container.NetworksFile); err != nil || strings.Contains(string(data), "10.20.0.5/24") {
			t.Errorf("networks.json: %v\n%s", err, data)
		}
		w.remove("a")
		// The claim is there still.
		again := attachmentOrder()
		again.UID = "order-a2"
		w.order(again)
		time.Sleep(time.Second)
		w.has(t, []string{"net1", "net2"}, []string{"net2 Attached", "net1 Attached"})
		if freed := w.report().Freed; len(freed) != 0 {
			t.Errorf("claims that carry nothing: %v", freed)
		}
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		w.has(t, nil, []string{"net2 Attached", "net1 Attached"})
		if p := w.present.All(); len(p) != 0 {
			t.Errorf("records left: %v", p)
		}
	})
}

// TestAgentKilledWhileInterfacesChange: what the runtime knows of the pod is older than what it has.
func TestAgentKilledWhileInterfacesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.selects = true
		w.order(addedOrder())
		w.order(detached(attachmentOrder()))
		time.Sleep(time.Second)
		w.remove("a")
		w = w.restarted(t)
		w.has(t, []string{"net2"}, []string{"net2 Attached"})
		if len(w.ledger["pod"].Attachments) != 1 {
			t.Errorf("ledger %+v", w.ledger)
		}
		w.order(detached(addedOrder()))
		w.set(func() { w.removeError = errors.New("killed") })
		synctest.Wait()
		w = w.restarted(t)
		w.has(t, nil, nil)
		if diff := cmp.Diff([]string{"b"}, w.releases()); diff != "" {
			t.Errorf("released (-want +got):\n%s", diff)
		}
		if _, left := w.ledger["pod"]; left {
			t.Errorf("ledger %+v", w.ledger)
		}
		if c, err := w.keeper.CheckSandbox(t.Context(), box); err != nil || c.NetworksFile != "" {
			t.Errorf("a container of a pod that has lost everything: %+v, %v", c, err)
		}
	})
}

func TestPodWithoutASelectionIsGivenAnInterface(t *testing.T) {
	for _, door := range []Door{DoorNRI, DoorCNI} {
		t.Run(string(door), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.selects, w.keeper.Door = true, door
				w.keeper.Synchronize(nil)
				bystander := box
				bystander.Selection = ""
				w.namespace(box.NetNS)
				if err := w.keeper.RunSandbox(t.Context(), bystander); err != nil {
					t.Fatal(err)
				}
				w.order(addedOrder())
				time.Sleep(time.Second)
				w.has(t, []string{"net2"}, []string{"net2 Attached"})
				if c, err := w.keeper.CheckSandbox(t.Context(), bystander); err != nil || c.NetworksFile == "" {
					t.Errorf("a container that starts now: %+v, %v", c, err)
				}
				w.keeper.StopSandbox(t.Context(), bystander)
				w.order(func() *v1alpha1.PodNetworkAttachment {
					b := addedOrder()
					b.DeletionTimestamp = &metav1.Time{}
					return b
				}())
				synctest.Wait()
				w.has(t, nil, []string{"net2 Attached"})
				if diff := cmp.Diff([]string{"b"}, w.releases()); diff != "" || len(w.present.All()) != 0 || len(w.ledger) != 0 {
					t.Errorf("released (-want +got):\n%s\nrecords %v, ledger %v", diff, w.present.All(), w.ledger)
				}
			})
		})
	}
}

// TestBystanders leave nothing behind, and are found again where nobody lists them.
func TestBystanders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.selects, w.keeper.Door = true, DoorCNI
		bystander := box
		bystander.Selection = ""
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), bystander); err != nil {
			t.Fatal(err)
		}
		w.keeper.Restore()
		w.keeper.Connected()
		w.order(addedOrder())
		time.Sleep(time.Second)
		w.has(t, []string{"net2"}, []string{"net2 Attached"})

		other := bystander
		other.ID, other.PodUID = "other", "other"
		if err := w.keeper.RunSandbox(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		w.keeper.StopSandbox(t.Context(), other)
		if _, left := w.present.Get("other"); left {
			t.Error("the record of a sandbox that never had anything is left")
		}
	})
}

// TestInterfaceThatCannotBeAdded does no harm to what the pod has.
func TestInterfaceThatCannotBeAdded(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(*world)
		over    func(*world)
		reason  string
	}{
		"no NIC": {func(*world) {}, func(w *world) { w.selects = true }, v1alpha1.ReasonAttachFailed},
		"the kernel refuses": {func(w *world) {
			w.selects = true
			w.attachError = &attach.Error{Network: "rack", Interface: "net2", Step: attach.StepUplink, Err: errors.New("no uplink")}
		}, func(w *world) { w.attachError = nil }, v1alpha1.ReasonUplinkNotFound},
		"address in use": {func(w *world) { w.selects, w.conflict = true, []plan.Conflict{{}} }, func(w *world) { w.conflict = nil }, v1alpha1.ReasonDuplicateAddress},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := started(t)
				w.set(func() { c.trouble(w) })
				w.order(addedOrder())
				time.Sleep(time.Second)
				w.has(t, []string{"net1"}, []string{"net1 Attached", "net2 " + c.reason})
				if r := w.report(); r.Trouble == "" || !r.Interfaces[0].InPod {
					t.Errorf("report %+v", r)
				}
				if _, err := w.keeper.CheckSandbox(t.Context(), box); err != nil {
					t.Errorf("a container of the pod cannot start again: %v", err)
				}
				w.set(func() { c.over(w) })
				time.Sleep(verifyEvery + time.Second)
				w.has(t, []string{"net1", "net2"}, []string{"net1 Attached", "net2 Attached"})
			})
		})
	}
}

func TestInterfaceThatCannotBeTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.set(func() { w.removeError = errors.New("busy") })
		w.order(detached(attachmentOrder()))
		synctest.Wait()
		w.has(t, []string{"net1"}, []string{"net1 Attached", "net1 AttachFailed"})
		if got := w.releases(); got != nil {
			t.Errorf("released an address that is in use: %v", got)
		}
		w.set(func() { w.removeError = nil })
		time.Sleep(verifyEvery + time.Second)
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" {
			t.Errorf("released (-want +got):\n%s", diff)
		}
		w.has(t, nil, nil)
	})
}

// TestEditedPodStartsAgain: a new sandbox has what the pod was created with, and what else is planned for it. What is not may be
// refused for good.
func TestEditedPodStartsAgain(t *testing.T) {
	created := "storage"
	for name, c := range map[string]struct {
		edit  func(*Sandbox)
		fails bool
		links []string
	}{
		"edited, with what is not to be had":  {edit: func(s *Sandbox) { s.Selection, s.AtCreation = "storage,fast@net2", &created }, links: []string{"net1"}},
		"edited, without what is not planned": {edit: func(s *Sandbox) { s.Selection, s.AtCreation = "fast@net2,other@net3", &created }},
		"not edited":                          {edit: func(s *Sandbox) { s.Selection = "storage,fast@net2" }, fails: true},
		"edited, and what it was created with is not planned": {
			edit: func(s *Sandbox) { s.Selection, s.AtCreation = "storage,other@net2", ptr("storage,other@net2") }, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.keeper.Synchronize(nil)
				w.order(attachmentOrder())
				if err := w.keeper.Prepare(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				w.namespace(box.NetNS)
				sandbox := box
				c.edit(&sandbox)
				err := w.keeper.RunSandbox(t.Context(), sandbox)
				synctest.Wait()
				if (err != nil) != c.fails {
					t.Errorf("error %v", err)
				}
				if diff := cmp.Diff(c.links, w.names(box.NetNS)); diff != "" {
					t.Errorf("links (-want +got):\n%s", diff)
				}
				time.Sleep(time.Second) // what is ordered comes later
				if _, p := w.keeper.state.entry(box.ID); !c.fails && (p != attached || len(w.names(box.NetNS)) != 1) {
					t.Errorf("phase %v, links %v", p, w.names(box.NetNS))
				}
			})
		})
	}
}

func ptr(s string) *string { return &s }

// TestClaimThatCarriesNothing must not keep a pod from starting again that selects its network no more.
func TestClaimThatCarriesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.edited = true
		begin := time.Now()
		if err := w.keeper.Prepare(t.Context(), request); err != nil || time.Since(begin) != unusedAfter {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		if len(w.ledger) != 0 {
			t.Errorf("planned %v", w.ledger)
		}
	})
}

func TestChangesOfASandbox(t *testing.T) {
	on := order{UID: "on", PodUID: "pod", Interface: "net2"}
	off := order{UID: "off", PodUID: "pod", Interface: "net1", Deleting: true, Detach: true}
	gone := order{UID: "gone", PodUID: "pod", Interface: "net1", Deleting: true}
	foreign := order{UID: "foreign", PodUID: "other", Interface: "net2"}
	for name, c := range map[string]struct {
		orders []order
		tried  []change
		phase  phase
		want   []string
	}{
		"comes":                     {orders: []order{on}, phase: attached, want: []string{"box"}},
		"goes":                      {orders: []order{off}, phase: attached, want: []string{"box"}},
		"goes, of a broken sandbox": {orders: []order{off}, phase: broken, want: []string{"box"}},
		"tried already":             {orders: []order{on, off}, tried: []change{{"on", false}, {"off", true}}, phase: attached},
		"goes after it was tried to come": {orders: []order{{UID: "on", PodUID: "pod", Interface: "net1", Deleting: true, Detach: true}},
			tried: []change{{"on", false}}, phase: attached, want: []string{"box"}},
		"somebody is at work":     {orders: []order{on}, phase: attaching},
		"deleted with its pod":    {orders: []order{gone}, phase: attached},
		"of another pod":          {orders: []order{foreign}, phase: attached},
		"a stopped one":           {orders: []order{on}, phase: stopped},
		"has what is ordered":     {orders: []order{{UID: "on", PodUID: "pod", Interface: "net1"}}, phase: attached},
		"told to go, not deleted": {orders: []order{{UID: "on", PodUID: "pod", Interface: "net1", Detach: true}}, phase: attached},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{Listed: true, Orders: c.orders, Sandboxes: []held{{ID: "box", PodUID: "pod", Phase: c.phase, Interfaces: []string{"net1"}, Tried: c.tried}}}
			if diff := cmp.Diff(c.want, decide(s).Verify); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatASandboxHasNotIsDropped: a plan goes with its interface, the others stay.
func TestWhatASandboxHasNotIsDropped(t *testing.T) {
	a, b := planned{"pod", "a"}, planned{"pod", "b"}
	off := order{Name: "b", UID: "b", PodUID: "pod", Interface: "net2", Deleting: true, Detach: true, Finalizer: true}
	s := snapshot{
		Synchronized: true, Listed: true, Planned: []planned{a, b}, Interfaces: map[planned]string{a: "net1", b: "net2"},
		Orders:    []order{{Name: "a", UID: "a", PodUID: "pod", Interface: "net1"}, off},
		Sandboxes: []held{{ID: "box", PodUID: "pod", Phase: attached, Interfaces: []string{"net1"}}},
	}
	if diff := cmp.Diff(actions{Drop: []planned{b}, Release: []order{off}}, decide(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Sandboxes[0].Interfaces, s.Sandboxes[0].Tried = []string{"net1", "net2"}, []change{{types.UID("b"), true}}
	if diff := cmp.Diff(actions{}, decide(s)); diff != "" {
		t.Errorf("while the interface is there (-want +got):\n%s", diff)
	}
}
