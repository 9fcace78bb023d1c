package sandboxes

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// ownOrder is on a device that a claim of the pod's user brought.
func ownOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Spec.PodClaimName, pna.Spec.Request = "pair", "nic"
	return pna
}

func ownRequest() Request {
	r := request
	r.PodClaimName, r.Claim.Request = "pair", "nic/second"
	return r
}

func ownBox() Sandbox {
	b := box
	b.Selection = "claim=pair/nic"
	return b
}

// TestLifeOfOwnClaim: the selection names no network, and the device is an alternative of its request.
func TestLifeOfOwnClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(ownOrder())
		if err := w.keeper.Prepare(t.Context(), ownRequest()); err != nil {
			t.Fatal(err)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), ownBox()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.keeper.CheckSandbox(t.Context(), ownBox()); err != nil {
			t.Error(err)
		}
		if n := w.interfaces(box.NetNS); n != 1 {
			t.Errorf("%d interfaces", n)
		}

		// The next process knows it again, and repairs what is lost.
		next := newWorld(t, w.ledger[box.PodUID])
		next.order(ownOrder())
		next.namespace(box.NetNS)
		next.keeper.Synchronize([]Sandbox{ownBox()})
		synctest.Wait()
		if n := next.interfaces(box.NetNS); n != 1 || next.claimReads != 0 {
			t.Errorf("%d interfaces after a repair, %d claims read", n, next.claimReads)
		}

		w.keeper.StopSandbox(t.Context(), ownBox())
		w.keeper.RemoveSandbox(box.ID)
		gone := ownOrder()
		gone.DeletionTimestamp = deletedOrder().DeletionTimestamp
		w.order(gone)
		synctest.Wait()
		if got := w.releases(); len(got) != 1 || len(w.recorded(box.PodUID)) != 0 {
			t.Errorf("released %v, the ledger has %v", got, w.recorded(box.PodUID))
		}
	})
}

// TestSandboxOfAClass: the selection names neither network nor request; the entry that admission made says which plan it is.
func TestSandboxOfAClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		pna, r, b := ownOrder(), ownRequest(), ownBox()
		pna.Spec.PodClaimName, r.PodClaimName, b.Selection = "multinet--bulk-0", "multinet--bulk-0", "class=bulk"
		w.order(pna)
		if err := w.keeper.Prepare(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		w.namespace(b.NetNS)
		other := b
		other.Selection = "class=gold"
		if err := w.keeper.RunSandbox(t.Context(), other); err == nil || !strings.HasPrefix(err.Error(), `network of class "gold" interface net1: no plan`) {
			t.Errorf("of another class: %v", err)
		}
		synctest.Wait()
		if err := w.keeper.RunSandbox(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if n := w.interfaces(b.NetNS); n != 1 {
			t.Errorf("%d interfaces", n)
		}
		w.keeper.StopSandbox(t.Context(), b)
		w.keeper.RemoveSandbox(b.ID)
		synctest.Wait()
	})
}

// TestOwnClaimWithoutItsPlan: a hook that comes before the plan reads the claim for the runtime's next try.
func TestOwnClaimWithoutItsPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(ownOrder())
		w.namespace(box.NetNS)
		const want = `request "nic" of claim "pair" interface net1: no plan`
		if err := w.keeper.RunSandbox(t.Context(), ownBox()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Fatalf("error %v, want %s", err, want)
		}
		synctest.Wait()
		if err := w.keeper.RunSandbox(t.Context(), ownBox()); err != nil || w.claimReads != 1 {
			t.Errorf("second try: %v after %d reads", err, w.claimReads)
		}
	})
}

// TestDeviceOfAnotherNetwork: what the claim asked for and what was ordered must be one Network.
func TestDeviceOfAnotherNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(ownOrder())
		r := ownRequest()
		r.Network = "open"
		const want = `pod ns/p claim pair: its device was allocated for network "open" and ordered for network "storage"`
		if err := w.keeper.Prepare(t.Context(), r); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if left := w.recorded(box.PodUID); len(left) != 0 {
			t.Errorf("planned %v", left)
		}
	})
}
