package sandboxes

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// preparedNIC returns a world in which the NIC is planned for the pod.
func preparedNIC(t *testing.T) *world {
	w := newWorld(t)
	w.keeper.Synchronize(nil)
	w.order(nicOrder())
	if err := w.keeper.Prepare(t.Context(), nicRequest()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// startedNIC returns a world in which the pod has the NIC.
func startedNIC(t *testing.T) *world {
	w := preparedNIC(t)
	w.namespace(box.NetNS)
	if err := w.keeper.RunSandbox(t.Context(), nicBox()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// lentNICs are the names of the NICs that the node offers although they are away.
func (w *world) lentNICs() (names []string) {
	for _, a := range w.keeper.LentNICs() {
		names = append(names, a.Device.Name)
	}
	return names
}

func TestLifeOfNIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startedNIC(t)
		if got := w.lastReason(); got != v1alpha1.ReasonAttached {
			t.Errorf("reported %q", got)
		}
		recorded := w.recorded(box.PodUID)[0]
		if recorded.MAC.String() != "02:00:00:00:09:01" || recorded.HostDevice.Before == nil || w.seenNIC().in != box.NetNS {
			t.Errorf("the ledger has %+v, the NIC is %+v", recorded, w.seenNIC())
		}
		w.set(func() { w.carrier = false })
		w.keeper.UplinksChanged()
		synctest.Wait()
		if got := w.lastReason(); got != v1alpha1.ReasonAttached {
			t.Errorf("the carrier of a NIC that is away was asked of the node: %q", got)
		}
		// A kubelet that asks again must not take a NIC that is away for one that is gone.
		if err := w.keeper.Prepare(t.Context(), nicRequest()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"uplink-eth1"}, w.lentNICs()); diff != "" || w.seenNIC().looked != 1 {
			t.Errorf("lent: %s, looked at %d times", diff, w.seenNIC().looked)
		}
		w.order(nicDeleted())
		w.keeper.StopSandbox(t.Context(), nicBox())
		if in := w.seenNIC().in; in != "" {
			t.Errorf("the hook has returned, after which %s ends, and the NIC is in it", in)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" || len(w.ledger) != 0 || w.lentNICs() != nil {
			t.Error(diff, w.ledger, w.lentNICs())
		}
	})
}

// A driver may take longer than a hook has.
func TestNICOfHardwareComesBackAfterTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.nic.driver = "mlx5_core" })
		w.keeper.Synchronize(nil)
		w.order(nicOrder())
		if err := w.keeper.Prepare(t.Context(), nicRequest()); err != nil {
			t.Fatal(err)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), nicBox()); err != nil {
			t.Fatal(err)
		}
		w.order(nicDeleted())
		w.set(func() { w.nic.takes = 5 * time.Second })
		begin := time.Now()
		w.keeper.StopSandbox(t.Context(), nicBox())
		if took := time.Since(begin); took > 0 || w.seenNIC().in == "" {
			t.Errorf("the hook took %s, the NIC is %+v", took, w.seenNIC())
		}
		time.Sleep(11 * time.Second) // with the links, and once more to see that it is as it was
		synctest.Wait()
		if nic := w.seenNIC(); nic.in != "" || len(w.ledger) != 0 || len(w.releases()) != 1 {
			t.Errorf("the NIC is %+v, left %+v, released %v", nic, w.ledger, w.releases())
		}
	})
}

// A NIC that was planned and not taken, as of a pod that never started, is given back too.
func TestNICThatWasNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedNIC(t)
		w.order(nicDeleted())
		synctest.Wait()
		if len(w.ledger) != 0 || len(w.releases()) != 1 {
			t.Errorf("left %+v, released %v", w.ledger, w.releases())
		}
	})
}

// What uses the NIC may be on its way out, such as a VLAN that nobody needs any more.
func TestNICInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.set(func() { w.nic.inUse = "interface eth1.5 of the node is on it" })
		w.order(nicOrder())
		want := `network "whole" interface net1: take NIC: NIC eth1 is not free: interface eth1.5 of the node is on it`
		if err := w.keeper.Prepare(t.Context(), nicRequest()); err == nil || err.Error() != want {
			t.Fatalf("error %v, want %s", err, want)
		}
		if r := w.reports[len(w.reports)-1]; r.Interfaces[0].Message != want || len(w.ledger) != 0 {
			t.Errorf("reported %+v, planned %+v", r, w.ledger)
		}
		time.AfterFunc(time.Second, func() { w.set(func() { w.nic.inUse = "" }) })
		if err := w.keeper.Prepare(t.Context(), nicRequest()); err != nil {
			t.Error(err)
		}
	})
}

// The scheduler gives the NIC to the next pod as soon as the claims of those before are gone, which had it or links on it.
func TestPrepareWaitsForTheNIC(t *testing.T) {
	for name, before := range map[string]struct {
		world   func(*testing.T) *world
		sandbox Sandbox
		deleted *v1alpha1.PodNetworkAttachment
	}{
		"NIC":     {startedNIC, nicBox(), nicDeleted()},
		"macvlan": {started, box, deletedOrder()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := before.world(t)
				w.order(nextNICOrder())
				prepared := make(chan error, 1)
				go func() { prepared <- w.keeper.Prepare(t.Context(), nextNICRequest()) }()
				time.Sleep(10 * time.Second)
				select {
				case err := <-prepared:
					t.Fatalf("prepared while the former pod has the NIC: %v", err)
				default:
				}
				w.order(before.deleted)
				w.keeper.StopSandbox(t.Context(), before.sandbox)
				if err := <-prepared; err != nil {
					t.Fatal(err)
				}
				if a := w.recorded("next"); len(a) != 1 || a[0].HostDevice.Before == nil || len(w.seenNIC().mistakes) > 0 {
					t.Errorf("the ledger has %+v, mistakes %v", a, w.seenNIC().mistakes)
				}
			})
		})
	}
}

func TestPrepareGivesUpOnTheNIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.order(nextNICOrder())
		err := w.keeper.Prepare(t.Context(), nextNICRequest())
		if err == nil || !strings.Contains(err.Error(), "take NIC: NIC eth1 is still that of pod ns/p") {
			t.Errorf("error %v", err)
		}
	})
}

// A NIC that is not what it was is offered to nobody, and tried again.
func TestDirtyNIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedNIC(t)
		w.set(func() { w.nic.stuck = "mtu is 1400 instead of 1500" })
		w.order(nicDeleted())
		synctest.Wait()
		if nic := w.seenNIC(); nic.dirty != "mtu-is-1400-instead-of-1500" || len(w.recorded(box.PodUID)) != 1 || len(w.lentNICs()) != 1 {
			t.Errorf("told %q, ledger %+v, lent %v", nic.dirty, w.ledger, w.lentNICs())
		}
		w.set(func() { w.nic.stuck = "" })
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		told := []string{
			`NICNotClean no pod gets NIC eth1 that pod ns/p had, until it is clean: network "whole" interface net1: restore device: NIC eth1 is not clean: mtu is 1400 instead of 1500`,
			"NICClean NIC eth1 is as it was before pod ns/p had it",
		}
		if diff := cmp.Diff(told, w.seen().told); diff != "" || len(w.ledger) != 0 {
			t.Errorf("the Node's events: %s, left %+v", diff, w.ledger)
		}
	})
}

// A NIC that does not come back is told of, and no reason to keep anything.
func TestNICGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := preparedNIC(t).ledger[box.PodUID]
		w := newWorld(t, ledger)
		w.set(func() { w.ledger[box.PodUID] = ledger; w.nic.gone = true })
		w.keeper.Synchronize(nil)
		synctest.Wait()
		if told := w.seen().told; len(told) != 1 || !strings.HasPrefix(told[0], "NICGone NIC eth1 has not come back from pod ns/p: ") {
			t.Errorf("the Node's events: %q", told)
		}
		if len(w.ledger) != 0 || w.lentNICs() != nil {
			t.Errorf("left %+v, lent %v", w.ledger, w.lentNICs())
		}
	})
}

// After a start of the machine the NIC is as the node has made it, and the kubelet does not ask again.
func TestNICAfterMachineStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := preparedNIC(t).ledger[box.PodUID]
		old := *ledger.Attachments[0].HostDevice.Before
		old.Boot, old.MTU = "another", 1400
		ledger.Attachments[0].HostDevice = &plan.HostDevice{Interface: "eth1", Before: &old}
		w := newWorld(t, ledger)
		w.order(nicOrder())
		w.keeper.Synchronize(nil)
		synctest.Wait()
		if before := w.recorded(box.PodUID)[0].HostDevice.Before; before.Boot != nicState().Boot || before.MTU != 1500 {
			t.Errorf("the ledger has %+v", before)
		}
	})
}

// A VF that a pod has as it is is no other pod's with settings, and does not look like one that somebody has left.
func TestVFAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(nicOrder())
		r := nicRequest()
		r.Claim.Device = vfDevice.Name
		if err := w.keeper.Prepare(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), nicBox()); err != nil {
			t.Fatal(err)
		}
		if a := w.recorded(box.PodUID)[0]; a.HostDevice.Interface != "ens9v3" || a.VF != nil || w.lentNICs() != nil {
			t.Errorf("the ledger has %+v, lent %v", a, w.lentNICs())
		}
		w.set(func() { w.vf.state.Interface = "" })
		w.keeper.Inspect()
		synctest.Wait()
		if vf := w.seen(); vf.dirty != "" || len(vf.told) > 0 {
			t.Errorf("told %q, %q", vf.dirty, vf.told)
		}
		if err := w.keeper.ChangeVFs(func(inUse []string) error {
			if diff := cmp.Diff([]string{vfDevice.PCIAddress}, inUse); diff != "" {
				t.Errorf("in use: %s", diff)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		w.order(nextOrder())
		if err := w.keeper.Prepare(t.Context(), nextRequest()); err == nil || !strings.Contains(err.Error(), "VF 3 of PF ens9 (0000:01:10.0) is still that of pod ns/p") {
			t.Errorf("error %v", err)
		}
	})
}

func TestNICWithoutClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.keeper.planFor(t.Context(), nicOrder(), nil); err == nil || !strings.Contains(err.Error(), "the pod has no claim") {
			t.Errorf("error %v", err)
		}
	})
}
