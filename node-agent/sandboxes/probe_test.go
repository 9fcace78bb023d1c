package sandboxes

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

const foreign = "address 10.20.0.5 is used by 02:aa:aa:aa:aa:aa on the segment of uplink eth1"

var foreigner = []plan.Conflict{{Addr: netip.MustParseAddr("10.20.0.5"), MAC: plan.HardwareAddr{2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}}}

// kubeletRetry is the least time between two sandboxes of a pod whose first was refused. Prepare does not come again.
const kubeletRetry = 13 * time.Second

// refused returns a world in which another machine has the pod's address, and the hook has refused the sandbox for it.
func refused(t *testing.T) *world {
	w := newWorld(t)
	w.keeper.Synchronize(nil)
	w.order(attachmentOrder())
	w.set(func() { w.conflict = foreigner })
	if err := w.keeper.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if err := w.try(t, "first"); err == nil || !strings.Contains(err.Error(), foreign) {
		t.Fatalf("error %v, want %q", err, foreign)
	}
	return w
}

func TestDuplicateAddressIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.mu.Lock()
		report := w.reports[len(w.reports)-1]
		w.mu.Unlock()
		told := report.Interfaces[0]
		if told.Reason != v1alpha1.ReasonDuplicateAddress || told.InPod || !strings.Contains(told.Message, "02:aa:aa:aa:aa:aa") {
			t.Errorf("told %+v, want the reason %s and the MAC", told, v1alpha1.ReasonDuplicateAddress)
		}
		if !strings.Contains(report.Trouble, foreign) {
			t.Errorf("the pod is told %q", report.Trouble)
		}
	})
}

// Whenever the other machine goes, the next try that the runtime makes succeeds.
func TestDuplicateAddressGoes(t *testing.T) {
	for name, test := range map[string]struct {
		after     time.Duration
		wantTries int
	}{
		"at once":                   {0, 1},
		"before the first retry":    {kubeletRetry - probeAgain - time.Second, 1},
		"between later tries":       {3*kubeletRetry + 5*time.Second, 4},
		"after an hour":             {time.Hour, 277},
		"just before a later retry": {2*kubeletRetry - probeAgain - time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := refused(t)
				go func() { time.Sleep(test.after); w.set(func() { w.conflict = nil }) }()
				tries := 0
				for {
					time.Sleep(kubeletRetry)
					tries++
					begin := time.Now()
					err := w.try(t, "next")
					if took := time.Since(begin); took != 0 {
						t.Fatalf("try %d waited %s for a probe", tries, took)
					}
					if err == nil || tries > test.wantTries {
						break
					}
				}
				if tries != test.wantTries {
					t.Errorf("attached with try %d, want %d", tries, test.wantTries)
				}
				if got := w.lastReason(); got != v1alpha1.ReasonAttached {
					t.Errorf("reported %q", got)
				}
				// Nobody is asked any more.
				before := w.asked()
				time.Sleep(time.Minute)
				if asked := w.asked() - before; asked != 0 {
					t.Errorf("%d probes after the pod was attached", asked)
				}
			})
		})
	}
}

// A look that fails after one that found somebody does not let the pod in.
func TestDuplicateAddressAndProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.set(func() { w.conflict, w.probeError = nil, errors.New("network is down") })
		time.Sleep(kubeletRetry)
		if err := w.try(t, "second"); err == nil || !strings.Contains(err.Error(), foreign) {
			t.Errorf("error %v, want %q", err, foreign)
		}
		w.set(func() { w.probeError = nil })
		time.Sleep(kubeletRetry)
		if err := w.try(t, "third"); err != nil {
			t.Error(err)
		}
	})
}

// A probe that could not be made from the start holds nobody up, and neither does one that found nothing.
func TestProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(attachmentOrder())
		w.set(func() { w.probeError = errors.New("network is down") })
		if err := w.keeper.Prepare(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if err := w.try(t, "first"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if asked := w.asked(); asked != 1 {
			t.Errorf("%d probes, want 1", asked)
		}
	})
}

// The pod is deleted while its address is not free: nobody is asked any more.
func TestDuplicateAddressAndPodGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refused(t)
		w.order(deletedOrder())
		time.Sleep(probeAgain + time.Second)
		before := w.asked()
		time.Sleep(time.Minute)
		if got, asked := w.releases(), w.asked()-before; asked != 0 || len(got) != 1 {
			t.Errorf("%d probes after the pod has gone, released %v", asked, got)
		}
	})
}

// The interface that is to blame has the reason, the other says that it is not.
func TestDuplicateAddressOfOneOfTwo(t *testing.T) {
	a, b := taggedOrder("a", "net1", 0), taggedOrder("b", "net2", 0)
	first, second := planOf(t, a), planOf(t, b)
	report := failed(box, []plan.Attachment{first, second}, &duplicateError{Attachment: second, Conflicts: foreigner})
	want := []string{v1alpha1.ReasonAttachFailed, v1alpha1.ReasonDuplicateAddress}
	for i, iface := range report.Interfaces {
		if iface.Reason != want[i] || (i == 1) != strings.Contains(iface.Message, foreign) {
			t.Errorf("%s: %s %q", iface.Plan.Interface, iface.Reason, iface.Message)
		}
	}
}
