package sandboxes

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// preparedVF returns a world in which the VF is planned for the pod.
func preparedVF(t *testing.T, pods ...plan.Pod) *world {
	w := newWorld(t, pods...)
	w.keeper.Synchronize(nil)
	w.order(vfOrder())
	if err := w.keeper.Prepare(t.Context(), vfRequest()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// recorded is what the ledger has of a pod.
func (w *world) recorded(podUID types.UID) []plan.Attachment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger[podUID].Attachments
}

func (w *world) checkVF(t *testing.T, clean bool, dirty string, log ...string) {
	t.Helper()
	vf := w.seen()
	if vf.clean() != clean || vf.dirty != dirty {
		t.Errorf("VF %+v, told %q, want clean %v and told %q", vf.state, vf.dirty, clean, dirty)
	}
	if len(vf.mistakes) > 0 {
		t.Error(vf.mistakes)
	}
	if diff := cmp.Diff(log, vf.log); diff != "" {
		t.Error(diff)
	}
}

func TestLifeOfVF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		w.checkVF(t, false, "", "configure")
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), vfBox()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.lastReason(); got != v1alpha1.ReasonAttached {
			t.Errorf("reported %q", got)
		}
		container, err := w.keeper.CheckSandbox(t.Context(), vfBox())
		if err != nil || len(container.Env) != 2 || container.Env[0] != (Variable{"PCIDEVICE_MULTINET_DEV_ENS9", vfDevice.PCIAddress}) {
			t.Errorf("container %+v, error %v", container, err)
		}
		w.order(vfDeleted())
		synctest.Wait()
		if got := w.releases(); got != nil {
			t.Errorf("released while the sandbox runs: %v", got)
		}
		w.keeper.StopSandbox(t.Context(), vfBox())
		synctest.Wait()
		w.checkVF(t, true, "", "configure", "release", "release")
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" || len(w.ledger) != 0 {
			t.Error(diff, w.ledger)
		}
	})
}

// Prepare asks for what the VF is like once. A kubelet that asks again, or an agent that starts anew, must not take what it has
// made of the VF for what it was.
func TestPrepareAgainKeepsWhatTheVFWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if before := w.recorded(box.PodUID)[0].Before; before == nil || *before != newFakeVF().state {
			t.Errorf("the ledger has %+v", before)
		}
		ledger := w.ledger[box.PodUID]
		next := newWorld(t, ledger)
		next.ledger[box.PodUID] = ledger
		next.vf.state = w.seen().state
		next.order(vfOrder()) // first: a plan without an order is dropped as soon as the sandboxes are known
		next.keeper.Synchronize(nil)
		if err := next.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		next.order(vfDeleted())
		synctest.Wait()
		next.checkVF(t, true, "", "configure", "release")
	})
}

// A hook has no time to bind a driver anew: after one that failed the VF is configured for the runtime's next try, although the
// runtime stops the sandbox that it could not start.
func TestVFIsReadyForTheNextTry(t *testing.T) {
	for name, fails := range map[string]func(*world){
		"refused": func(w *world) { w.attachError = errRefused },
		"late":    func(w *world) { w.attachTakes = 10 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := preparedVF(t)
				w.namespace(box.NetNS)
				w.set(func() { fails(w) })
				if err := w.keeper.RunSandbox(t.Context(), vfBox()); err == nil {
					t.Fatal("attached")
				}
				w.keeper.StopSandbox(t.Context(), vfBox())
				time.Sleep(time.Minute)
				vf := w.seen()
				if len(vf.mistakes) > 0 || vf.state.VLAN != vfVLAN || vf.log[len(vf.log)-1] != "configure" {
					t.Errorf("the VF is %+v after %v, mistakes %v", vf.state, vf.log, vf.mistakes)
				}
				w.order(vfDeleted())
				w.keeper.RemoveSandbox(box.ID)
				time.Sleep(time.Minute)
				if vf := w.seen(); !vf.clean() {
					t.Errorf("the VF is %+v after %v", vf.state, vf.log)
				}
			})
		})
	}
}

// The scheduler gives the VF to the next pod as soon as the former one's claim is gone.
func TestPrepareWaitsForTheVF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		w.set(func() { w.vf.takes = 5 * time.Second })
		w.order(vfDeleted())
		w.order(nextOrder())
		begin := time.Now()
		if err := w.keeper.Prepare(t.Context(), nextRequest()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 15*time.Second {
			t.Errorf("took %s: release, look and configuration are 5 s each", took)
		}
		w.checkVF(t, false, "", "configure", "release", "configure")
		if got := w.releases(); len(got) != 1 || w.recorded("next")[0].Before.VLAN != 0 {
			t.Errorf("released %v, ledger %+v", got, w.ledger)
		}
		if _, still := w.ledger[box.PodUID]; still {
			t.Error("the former pod's plan would take the VF back after a crash")
		}
	})
}

// A VF that is not clean holds up no deletion, is told of, and is given back as soon as it can be.
func TestDirtyVF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		w.set(func() { w.vf.stuck = "vlan is 100 instead of 0" })
		w.order(vfDeleted())
		synctest.Wait()
		if got := w.releases(); len(got) != 1 {
			t.Errorf("released %v", got)
		}
		w.remove("a")
		w.order(nextOrder())
		err := w.keeper.Prepare(t.Context(), nextRequest())
		if err == nil || !strings.Contains(err.Error(), "VF 3 of PF ens9 (0000:01:10.0) of pod ns/p before is not clean") || !strings.Contains(err.Error(), "vlan is 100 instead of 0") {
			t.Errorf("error %v", err)
		}
		if vf := w.seen(); vf.dirty != "vlan-is-100-instead-of-0" || len(w.recorded(box.PodUID)) != 1 {
			t.Errorf("told %q, ledger %+v", vf.dirty, w.ledger)
		}
		w.set(func() { w.vf.stuck, w.vf.log = "", nil })
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		w.checkVF(t, true, "", "release")
		if len(w.ledger) != 0 {
			t.Errorf("left %+v", w.ledger)
		}
		told := []string{
			`VirtualFunctionNotClean no pod gets VF 3 of PF ens9 (0000:01:10.0) that pod ns/p had, until it is clean: network "fast" interface net1: restore device: ` +
				"VF 3 of PF ens9 (0000:01:10.0) is not clean: vlan is 100 instead of 0",
			"VirtualFunctionClean VF 3 of PF ens9 (0000:01:10.0) is as it was before pod ns/p had it",
		}
		if diff := cmp.Diff(told, w.seen().told); diff != "" {
			t.Errorf("the Node's events: %s", diff)
		}
		if err := w.keeper.Prepare(t.Context(), nextRequest()); err != nil {
			t.Error(err)
		}
	})
}

func TestRefusedSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(vfOrder())
		w.set(func() { w.vf.configureError = errRefused })
		want := `network "fast" interface net1: configure VF: VF 3 of PF ens9 (0000:01:10.0): set linkState to enable: the driver igb of the PF cannot set it: operation not supported`
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		r := w.reports[len(w.reports)-1]
		if i := r.Interfaces[0]; i.Reason != v1alpha1.ReasonAttachFailed || i.Message != want || r.UID != box.PodUID {
			t.Errorf("reported %+v", r)
		}
		w.order(vfDeleted())
		synctest.Wait()
		w.checkVF(t, true, "", "configure", "release")
	})
}

// TestAgentStarts: a pod went while the agent was away, and its namespace with it.
func TestAgentStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := preparedVF(t).ledger[box.PodUID]
		w := newWorld(t, ledger)
		w.set(func() { w.ledger[box.PodUID] = ledger; w.vf.state.VLAN = vfVLAN })
		w.keeper.Synchronize(nil)
		synctest.Wait()
		w.checkVF(t, true, "", "release")
		if len(w.ledger) != 0 {
			t.Errorf("left %+v", w.ledger)
		}
	})
}

// TestMachineStarts: VFs are new, and the kubelet does not ask again for a pod that it had prepared.
func TestMachineStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := preparedVF(t).ledger[box.PodUID]
		old := *ledger.Attachments[0].Before
		old.Boot, old.Interface = "another", "eth7"
		ledger.Attachments[0].Before = &old
		w := newWorld(t, ledger)
		w.order(vfOrder())
		w.keeper.Synchronize(nil)
		synctest.Wait()
		if before := w.recorded(box.PodUID)[0].Before; *before != newFakeVF().state {
			t.Errorf("the ledger has %+v", before)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), vfBox()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.checkVF(t, false, "", "configure")
	})
}

func TestHookRefusesAPlanOfAnotherBoot(t *testing.T) {
	a := plan.Attachment{Network: "fast", Interface: "net1", VF: &plan.VF{PCIAddress: vfDevice.PCIAddress}, Before: &plan.VFState{Boot: "another"}}
	if err := unrecorded([]plan.Attachment{a}); err == nil || !strings.Contains(err.Error(), "is prepared anew") {
		t.Errorf("error %v", err)
	}
	state := newFakeVF().state
	a.Before = &state
	if err := unrecorded([]plan.Attachment{a, {Network: "storage"}}); err != nil {
		t.Error(err)
	}
}

func TestVFWithoutClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pna := vfOrder()
		if _, err := w.keeper.planFor(t.Context(), pna, nil); err == nil || !strings.Contains(err.Error(), "the pod has no claim") {
			t.Errorf("error %v", err)
		}
	})
}

func TestUnclean(t *testing.T) {
	for want, change := range map[string]func(*plan.VFState){
		"":                                      func(*plan.VFState) {},
		"the vlan is 7":                         func(s *plan.VFState) { s.VLAN = 7 },
		"the driver is vfio-pci: a program":     func(s *plan.VFState) { s.Driver, s.Interface = plumb.VFIODriver, "" },
		"it is in some network namespace":       func(s *plan.VFState) { s.Interface = "" },
		"the interface has the mark of a pod's": func(s *plan.VFState) { s.Alias = plumb.VFMark },
		"the PF expects the MAC 02:00:00:00:00:01 and the interface has 02:00:00:00:09:03": func(s *plan.VFState) { s.AdminMAC = "02:00:00:00:00:01" },
	} {
		state := newFakeVF().state
		change(&state)
		if got := unclean(state); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	trusted := newFakeVF().state
	trusted.Trust, trusted.AdminMAC, trusted.Driver, trusted.Interface = true, trusted.MAC, "", ""
	if got := unclean(trusted); got != "" {
		t.Errorf("a VF without a driver: %q", got)
	}
}

// A VF that somebody left dirty is not offered, a pod that has it all the same is refused, and it is offered when it is clean.
func TestVFLeftBySomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.vf.state.VLAN = 7 })
		w.keeper.UplinksChanged()
		synctest.Wait()
		w.checkVF(t, false, "the-vlan-is-7")
		w.keeper.Synchronize(nil)
		w.order(vfOrder())
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err == nil || !strings.Contains(err.Error(), "VF 3 of PF ens9 (0000:01:10.0) is not clean: the vlan is 7") {
			t.Errorf("error %v", err)
		}
		if len(w.ledger) != 0 {
			t.Errorf("planned: %+v", w.ledger)
		}
		w.set(func() { w.vf.state.VLAN = 0 })
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		w.checkVF(t, true, "")
		told := []string{
			"VirtualFunctionNotClean no pod gets VF 3 of PF ens9 (0000:01:10.0): the vlan is 7",
			"VirtualFunctionClean VF 3 of PF ens9 (0000:01:10.0) is nobody's again",
		}
		if diff := cmp.Diff(told, w.seen().told); diff != "" {
			t.Errorf("the Node's events: %s", diff)
		}
	})
}

func TestLabelValue(t *testing.T) {
	for clause, want := range map[string]string{
		"": "", `driver is "vfio-pci" instead of "igbvf"`: "driver-is-vfio-pci-instead-of-igbvf", "(null)": "null",
		"a" + strings.Repeat("-", 80) + "b": "a",
	} {
		if got := labelValue(clause); got != want {
			t.Errorf("%q becomes %q, want %q", clause, got, want)
		}
	}
}

func TestFinalizerWaitsForTheVF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		w.set(func() { w.vf.takes = 5 * time.Second })
		w.order(vfDeleted())
		time.Sleep(4 * time.Second)
		if got := w.releases(); got != nil {
			t.Errorf("released before the VF was seen to be clean: %v", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.releases(); len(got) != 1 {
			t.Errorf("released %v", got)
		}
	})
}

// What a pod owes stays in the ledger when another interface of the pod is planned meanwhile.
func TestLedgerKeepsWhatIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		w.set(func() { w.vf.stuck = "vlan is 100 instead of 0" })
		w.order(vfDeleted())
		synctest.Wait()
		other := attachmentOrder()
		other.Name, other.Spec.Interface, other.Spec.PodClaimName = "c", "net2", "multinet-storage-1"
		w.order(other)
		r := request
		r.PodClaimName = other.Spec.PodClaimName
		if err := w.keeper.Prepare(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range w.recorded(box.PodUID) {
			names = append(names, a.Name)
		}
		if diff := cmp.Diff([]string{"c", "a"}, names); diff != "" {
			t.Error(diff)
		}
		w.set(func() { w.vf.stuck = "" })
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		if left := w.recorded(box.PodUID); len(left) != 1 || left[0].Name != "c" {
			t.Errorf("left %+v", left)
		}
	})
}
