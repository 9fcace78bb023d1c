package sandboxes

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// contestedOrder is the order after the agent has told of the conflict.
func contestedOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Status.Conflicts = []v1alpha1.AddressConflict{{Address: "10.20.0.5", MAC: "02:aa:aa:aa:aa:aa"}}
	return pna
}

// replacement is the order that the operator makes in its place: same name, other UID and address.
func replacement() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.UID, pna.Spec.MAC = "order-b", "02:00:00:00:00:02"
	pna.Spec.Addresses = []v1alpha1.AttachmentAddress{{Address: "10.20.0.6/24"}}
	return pna
}

// deleting has the operator delete the contested order.
func (w *world) deleting() {
	pna := contestedOrder()
	pna.DeletionTimestamp = deletedOrder().DeletionTimestamp
	w.order(pna)
	synctest.Wait()
}

// The order is replaced between two tries of the runtime: the very next one gets the other address, without a Prepare
// and without asking the API server for the claim.
func TestReplacementIsPlannedForTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.deleting()
		if got := w.releases(); len(got) != 1 || got[0] != "a" {
			t.Fatalf("released %v", got)
		}
		if len(w.ledger) != 0 {
			t.Errorf("the ledger keeps %v", w.ledger)
		}
		w.set(func() { w.conflict = nil })
		w.remove("a")
		w.order(replacement())
		time.Sleep(kubeletRetry)
		begin := time.Now()
		if err := w.try(t, "second"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the hook waited %s", took)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		told := w.reports[len(w.reports)-1].Interfaces[0]
		if want := netip.MustParsePrefix("10.20.0.6/24"); told.Reason != v1alpha1.ReasonAttached || told.Addresses[0] != want {
			t.Errorf("told %+v, want %s", told, want)
		}
		if stored := w.ledger["pod"].Attachments; len(stored) != 1 || stored[0].Claim == nil || stored[0].Claim.Name != "claim" {
			t.Errorf("the ledger has %+v", stored)
		}
		if w.claimReads != 0 {
			t.Errorf("%d claims were read", w.claimReads)
		}
	})
}

// The other address is somebody's as well: the pod is held again, and told so.
func TestReplacementIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.deleting()
		w.remove("a")
		w.order(replacement())
		time.Sleep(kubeletRetry)
		if err := w.try(t, "second"); err == nil || !strings.Contains(err.Error(), foreign) {
			t.Errorf("error %v, want %q", err, foreign)
		}
	})
}

// The runtime tries again while the order is being taken back, or before the new one is there: nothing begins to use
// an address that is about to be free, even if the other machine has just gone.
func TestTryWhileTheOrderIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*world){
		"the plan is still there": func(w *world) {
			pna := contestedOrder()
			pna.DeletionTimestamp = deletedOrder().DeletionTimestamp
			w.set(func() { w.orders["a"] = pna }) // the loop has not looked yet
		},
		"the plan is dropped":     (*world).deleting,
		"no order is there":       func(w *world) { w.deleting(); w.remove("a") },
		"the operator is away 1h": func(w *world) { w.deleting(); w.remove("a"); time.Sleep(replacedWithin + time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := refused(t)
				w.set(func() { w.conflict = nil })
				time.Sleep(2*probeAgain + time.Second)
				change(w)
				if err := w.try(t, "second"); err == nil {
					t.Fatal("attached with an order that goes")
				}
				w.remove("a")
				w.order(replacement())
				for range 2 {
					time.Sleep(kubeletRetry)
					if w.try(t, "next") == nil {
						return
					}
				}
				t.Error("the pod is not attached with the second try after the new order")
			})
		})
	}
}

// A pod that runs keeps its plan and its links, whatever is done to the order.
func TestRunningPodKeepsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.set(func() { w.conflict = foreigner })
		w.deleting()
		time.Sleep(time.Minute)
		if got := w.releases(); got != nil || w.interfaces(box.NetNS) != 1 || len(w.ledger) != 1 {
			t.Errorf("released %v, %d links, %d plans", got, w.interfaces(box.NetNS), len(w.ledger))
		}
	})
}

// The pod goes as well: what was remembered of it goes too.
func TestContestedPodGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.deleting()
		w.remove("a")
		time.Sleep(replacedWithin + 2*verifyEvery)
		synctest.Wait()
		if n := len(w.keeper.contested); n != 0 {
			t.Errorf("%d are remembered", n)
		}
	})
}

func TestConflictsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.mu.Lock()
		defer w.mu.Unlock()
		told := w.reports[len(w.reports)-1].Interfaces[0].Conflicts
		if len(told) != 1 || told[0].Addr != foreigner[0].Addr || told[0].MAC.String() != "02:aa:aa:aa:aa:aa" {
			t.Errorf("told %v", told)
		}
	})
}
