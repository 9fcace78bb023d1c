package sandboxes

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// started returns a world in which the pod runs.
func started(t *testing.T) *world {
	w := newWorld(t)
	w.keeper.Synchronize(nil)
	w.order(attachmentOrder())
	if err := w.keeper.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	w.namespace(box.NetNS)
	if err := w.keeper.RunSandbox(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		if got := w.lastReason(); got != v1alpha1.ReasonAttached {
			t.Errorf("reported %q", got)
		}
		container, err := w.keeper.CheckSandbox(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(container.NetworksFile)
		if err != nil || !strings.Contains(string(data), `"10.20.0.5/24"`) {
			t.Errorf("networks.json: %v\n%s", err, data)
		}
		w.order(deletedOrder())
		synctest.Wait()
		if got := w.releases(); got != nil {
			t.Errorf("released while the sandbox runs: %v", got)
		}
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" {
			t.Error(diff)
		}
		if len(w.ledger) != 0 || w.interfaces(box.NetNS) != 0 {
			t.Errorf("left: ledger %v, %d links", w.ledger, w.interfaces(box.NetNS))
		}
		w.keeper.RemoveSandbox(box.ID)
		synctest.Wait()
		if got := w.releases(); len(got) != 1 {
			t.Errorf("released again: %v", got)
		}
		if err := w.keeper.RunSandbox(t.Context(), box); err == nil {
			t.Error("attached addresses that were released")
		}
	})
}

func TestPrepareWaits(t *testing.T) {
	tests := map[string]struct {
		after        func(*world)
		wantError    string
		wantDuration time.Duration
	}{
		"for the order": {
			after:        func(w *world) { w.keeper.Synchronize(nil); time.Sleep(7 * time.Second); w.order(attachmentOrder()) },
			wantDuration: 7 * time.Second,
		},
		"for the runtime": {
			after:        func(w *world) { w.order(attachmentOrder()); time.Sleep(9 * time.Second); w.keeper.Synchronize(nil) },
			wantDuration: 9 * time.Second,
		},
		"no order comes": {
			after:     func(w *world) { w.keeper.Synchronize(nil) },
			wantError: "no PodNetworkAttachment came", wantDuration: prepareLimit,
		},
		"an order that is being deleted": {
			after:     func(w *world) { w.keeper.Synchronize(nil); w.order(deletedOrder()) },
			wantError: "no PodNetworkAttachment came", wantDuration: prepareLimit,
		},
		"for the runtime that went away": {
			after: func(w *world) {
				w.keeper.Synchronize(nil)
				w.keeper.Disconnected()
				w.order(attachmentOrder())
				time.Sleep(9 * time.Second)
				w.keeper.Synchronize(nil)
			},
			wantDuration: 9 * time.Second,
		},
		"for the runtime that went away while the order was missing": {
			after: func(w *world) {
				w.keeper.Synchronize(nil)
				time.Sleep(3 * time.Second)
				w.keeper.Disconnected()
				w.order(attachmentOrder())
				time.Sleep(20 * time.Second)
				w.keeper.Synchronize(nil)
			},
			wantDuration: 23 * time.Second,
		},
		"the runtime went away and does not come back": {
			after:     func(w *world) { w.keeper.Synchronize(nil); w.keeper.Disconnected(); w.order(attachmentOrder()) },
			wantError: "not connected over NRI", wantDuration: prepareLimit,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				go test.after(w)
				synctest.Wait()
				begin := time.Now()
				err := w.keeper.Prepare(t.Context(), request)
				if test.wantError == "" && err != nil || test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
					t.Errorf("error %v, want %q", err, test.wantError)
				}
				if took := time.Since(begin); took != test.wantDuration {
					t.Errorf("took %s, want %s", took, test.wantDuration)
				}
				synctest.Wait()
				time.Sleep(time.Second) // the probe's end
			})
		})
	}
}

func TestHookFailures(t *testing.T) {
	tests := map[string]struct {
		break_     func(*world)
		want       string
		wantReason string
	}{
		"attach fails": {
			break_: func(w *world) {
				w.attachError = &attach.Error{Network: "storage", Interface: "net1", Step: attach.StepUplink, Err: errors.New("gone")}
			},
			want:       `network "storage" interface net1: find uplink: gone`,
			wantReason: v1alpha1.ReasonUplinkNotFound,
		},
		"a duplicate address": {
			break_:     func(w *world) { w.conflict = foreigner },
			want:       "address 10.20.0.5 is used by 02:aa:aa:aa:aa:aa",
			wantReason: v1alpha1.ReasonDuplicateAddress,
		},
		"the kernel does not answer": {
			break_:     func(w *world) { w.attachTakes = 10 * time.Second },
			want:       "has not attached the interfaces in time",
			wantReason: v1alpha1.ReasonAttachFailed,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.keeper.Synchronize(nil)
				w.order(attachmentOrder())
				test.break_(w)
				if err := w.keeper.Prepare(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				w.namespace(box.NetNS)
				begin := time.Now()
				err := w.keeper.RunSandbox(t.Context(), box)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				if took := time.Since(begin); took > hookLimit {
					t.Errorf("the hook took %s", took)
				}
				if _, err := w.keeper.CheckSandbox(t.Context(), box); err == nil {
					t.Error("a container may start")
				}
				synctest.Wait()
				if got := w.lastReason(); got != test.wantReason {
					t.Errorf("reported %q, want %q", got, test.wantReason)
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if n := w.interfaces(box.NetNS); n != 0 {
					t.Errorf("%d links came late and stay", n)
				}
				// The runtime tears down and tries again; the trouble is over.
				w.mu.Lock()
				w.attachError, w.attachTakes, w.conflict = nil, 0, nil
				w.mu.Unlock()
				w.keeper.StopSandbox(t.Context(), box)
				w.keeper.RemoveSandbox(box.ID)
				time.Sleep(13 * time.Second)
				again := box
				again.ID = "again"
				if err := w.keeper.RunSandbox(t.Context(), again); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			})
		})
	}
}

// TestStart is about an agent that starts on a node with a pod that runs.
func TestStart(t *testing.T) {
	tests := map[string]struct {
		ledger, links, told, deleting, gone bool

		wantLinks, wantClaimReads int
		wantReports               int
		wantReleased              []string
		wantPhase                 phase
	}{
		"all is well":                           {ledger: true, links: true, told: true, wantLinks: 1, wantPhase: attached},
		"killed between attach and report":      {ledger: true, links: true, wantLinks: 1, wantReports: 1, wantPhase: attached},
		"started without its networks":          {ledger: true, wantLinks: 1, wantReports: 1, wantPhase: attached},
		"ledger lost":                           {links: true, told: true, wantLinks: 1, wantClaimReads: 1, wantPhase: attached},
		"ledger and links lost":                 {wantLinks: 1, wantClaimReads: 1, wantReports: 1, wantPhase: attached},
		"force-deleted, still runs":             {ledger: true, links: true, told: true, deleting: true, wantLinks: 1, wantPhase: attached},
		"force-deleted and without links":       {ledger: true, deleting: true, wantPhase: broken},
		"vanished while the agent was down":     {ledger: true, deleting: true, gone: true, wantReleased: []string{"a"}, wantPhase: stopped},
		"prepared and about to start":           {ledger: true, gone: true, wantPhase: stopped},
		"vanished with the ledger lost as well": {deleting: true, gone: true, wantReleased: []string{"a"}, wantPhase: stopped},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pna := attachmentOrder()
				if test.deleting {
					pna = deletedOrder()
				}
				if test.told {
					pna.Status.SandboxID = box.ID
					pna.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionReady, Status: metav1.ConditionTrue}}
				}
				var pods []plan.Pod
				if test.ledger {
					a, err := plan.FromAttachment(attachmentOrder(), plan.Device{Name: "uplink-eth1", Uplink: "eth1"}, nil)
					if err != nil {
						t.Fatal(err)
					}
					pods = []plan.Pod{{Namespace: "ns", Name: "p", UID: "pod", Attachments: []plan.Attachment{a}}}
				}
				w := newWorld(t, pods...)
				w.mu.Lock()
				w.listedAt = time.Now().Add(time.Second)
				w.mu.Unlock()
				w.order(pna)
				if !test.gone {
					w.namespace(box.NetNS)
				}
				if test.links {
					w.links[box.NetNS]["net1"] = true
				}
				w.keeper.Synchronize([]Sandbox{box})
				time.Sleep(2 * time.Second)
				w.keeper.Wake()
				synctest.Wait()
				_, phase := w.keeper.state.entry(box.ID)
				got := []any{w.interfaces(box.NetNS), w.claimReads, len(w.reports), w.releases(), phase}
				want := []any{test.wantLinks, test.wantClaimReads, test.wantReports, test.wantReleased, test.wantPhase}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("links, claim reads, reports, released, phase: -want +got\n%s", diff)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

func TestLinkLostAndCarrierLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.mu.Lock()
		clear(w.links[box.NetNS])
		w.mu.Unlock()
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		if n := w.interfaces(box.NetNS); n != 1 {
			t.Errorf("%d links after the repair", n)
		}
		for _, carrier := range []bool{false, true} {
			w.mu.Lock()
			w.carrier = carrier
			w.mu.Unlock()
			w.keeper.UplinksChanged()
			synctest.Wait()
			want := map[bool]string{false: v1alpha1.ReasonUplinkDown, true: v1alpha1.ReasonAttached}[carrier]
			if got := w.lastReason(); got != want {
				t.Errorf("carrier %v: reported %q, want %q", carrier, got, want)
			}
		}
	})
}

// TestStopThatIsNeverTold is about sandboxes that are older than the runtime's process.
func TestStopThatIsNeverTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.keeper.Disconnected()
		w.keeper.Synchronize([]Sandbox{box})
		w.order(deletedOrder())
		synctest.Wait()
		if got := w.releases(); got != nil {
			t.Errorf("released while the sandbox runs: %v", got)
		}
		w.mu.Lock()
		delete(w.links, box.NetNS)
		w.mu.Unlock()
		time.Sleep(verifyEvery + time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSandboxMadeAgain is what happens when the pause process dies: no Prepare, a new sandbox of the same pod.
func TestSandboxMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.keeper.StopSandbox(t.Context(), box)
		again := box
		again.ID, again.NetNS = "again", "/netns2"
		w.namespace(again.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if old, now := w.interfaces(box.NetNS), w.interfaces(again.NetNS); old != 0 || now != 1 {
			t.Errorf("%d links in the old sandbox, %d in the new one", old, now)
		}
		if got := w.releases(); got != nil {
			t.Errorf("released %v", got)
		}
	})
}

func TestAskAgain(t *testing.T) {
	tests := map[string]struct {
		age      time.Duration
		prepared bool
		deleting bool
		want     int
	}{
		"missed while the agent was away": {age: time.Minute, want: 1},
		"just ordered":                    {age: time.Second},
		"prepared":                        {age: time.Minute, prepared: true},
		"being deleted":                   {age: time.Minute, deleting: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.keeper.Synchronize(nil)
				pna := attachmentOrder()
				if test.deleting {
					pna = deletedOrder()
				}
				pna.CreationTimestamp = metav1.NewTime(time.Now().Add(-test.age))
				w.order(pna)
				if test.prepared {
					if err := w.keeper.Prepare(t.Context(), request); err != nil {
						t.Fatal(err)
					}
				}
				w.keeper.AskAgain(time.Now())
				if len(w.reports) != test.want {
					t.Errorf("%d reports, want %d", len(w.reports), test.want)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

func TestUnselectedPodsAndBadSelections(t *testing.T) {
	w := newWorld(t)
	blank, bad, host := box, box, box
	blank.Selection, bad.Selection, host.NetNS = " ", "storage@toolonginterfacename", ""
	if err := w.keeper.RunSandbox(t.Context(), blank); err != nil {
		t.Error(err)
	}
	if container, err := w.keeper.CheckSandbox(t.Context(), blank); err != nil || container.NetworksFile != "" {
		t.Error(container, err)
	}
	if err := w.keeper.RunSandbox(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "toolonginterfacename") {
		t.Errorf("bad selection: %v", err)
	}
	if err := w.keeper.RunSandbox(t.Context(), host); err == nil || !strings.Contains(err.Error(), "hostNetwork") {
		t.Errorf("host network: %v", err)
	}
}
