package sandboxes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

func TestSelectionOf(t *testing.T) {
	prepared := []SelectedNetwork{{"b", "zeta", "c1", 0}, {"a", "alpha", "c2", 1}}
	planned := plan.Pod{UID: "pod", Attachments: []plan.Attachment{{Network: "a", Interface: "alpha"}, {Network: "c", Interface: "net10"}, {Network: "c", Interface: "net9"}}}
	for name, test := range map[string]struct {
		prepared []SelectedNetwork
		plan     []plan.Pod
		ordered  bool
		deleting bool
		want     string
	}{
		"nothing":                      {},
		"in the order of the claims":   {prepared: prepared, want: "b@zeta,a@alpha"},
		"what is planned alone":        {plan: []plan.Pod{planned}, want: "c@net9,a@alpha,c@net10"},
		"what is prepared comes first": {prepared: prepared, plan: []plan.Pod{planned}, want: "b@zeta,a@alpha,c@net9,c@net10"},
		"what is ordered alone":        {ordered: true, want: "storage@net1"},
		"an order that goes":           {ordered: true, deleting: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.plan...)
				if test.prepared != nil {
					_ = w.selected.Put("pod", Selected{PodUID: "pod", Networks: test.prepared})
				}
				if test.ordered {
					pna := attachmentOrder()
					if test.deleting {
						pna.DeletionTimestamp = &metav1.Time{}
					}
					w.order(pna)
				}
				if diff := cmp.Diff(test.want, w.keeper.SelectionOf("pod")); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestSelectedStays while a plan is exchanged, and while the sandbox of a pod is there whose claims are gone.
func TestSelectedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		selects := func(want bool, when string) {
			t.Helper()
			synctest.Wait()
			if _, ok := w.selected.Get("pod"); ok != want {
				t.Errorf("%s: recorded is %v, want %v", when, ok, want)
			}
		}
		selects(true, "while the pod runs")
		w.keeper.Unprepared([]types.UID{"another"})
		selects(true, "after another claim went")
		w.keeper.Unprepared([]types.UID{request.Claim.UID})
		selects(true, "before the sandbox is gone")
		w.keeper.StopSandbox(t.Context(), box)
		selects(false, "at the end")
		if left := w.present.All(); len(left) > 0 {
			t.Errorf("sandboxes are left: %v", left)
		}
	})
}

func TestSelectedGoesWithTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		w.keeper.StopSandbox(t.Context(), box)
		if !w.keeper.SelectsByName("ns", "p") {
			t.Error("a pod that is to get another sandbox is forgotten")
		}
		w.remove("a")
		w.keeper.Unprepared([]types.UID{request.Claim.UID})
		if _, ok := w.selected.Get("pod"); ok || w.keeper.SelectsByName("ns", "p") {
			t.Error("the pod is not forgotten")
		}
	})
}

// TestRestore: what an earlier process has attached holds its addresses, without a runtime that lists it.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.namespace(box.NetNS)
		gone := box
		gone.ID, gone.NetNS = "gone", "/not-there"
		for _, s := range []Sandbox{box, gone} {
			_ = w.present.Put(s.ID, Present{Sandbox: s})
		}
		w.order(deletedOrder())
		w.keeper.Restore()
		synctest.Wait()
		if open, _ := w.keeper.Health(); open {
			t.Error("pods can be prepared before the door is open")
		}
		w.keeper.Connected()
		synctest.Wait()
		if got := w.releases(); got != nil {
			t.Errorf("released while the sandbox is there: %v", got)
		}
		if _, known := w.keeper.Find("gone"); known {
			t.Error("a sandbox is known whose namespace is gone")
		}
		w.keeper.StopSandbox(t.Context(), box)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, w.releases()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSynchronizeAdopts: an agent that serves CNI after one that served NRI has to know the sandboxes.
func TestSynchronizeAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.namespace(box.NetNS)
		_ = w.present.Put("stale", Present{Sandbox: Sandbox{ID: "stale", NetNS: "/gone"}})
		w.keeper.Synchronize([]Sandbox{box})
		synctest.Wait()
		all := w.present.All()
		if len(all) != 1 || all[0].Sandbox.ID != box.ID {
			t.Errorf("recorded are %v", all)
		}
	})
}

func TestVFIONeedsNRI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Door = DoorCNI
		w.keeper.Connected()
		pna := vfOrder()
		pna.Spec.SRIOV.DeviceType = v1alpha1.VFDeviceTypeVFIO
		w.order(pna)
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err == nil || !strings.Contains(err.Error(), "needs NRI") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestDeviceInfo(t *testing.T) {
	d := DeviceInfo{Dir: t.TempDir()}
	sandbox := Sandbox{ID: "box"}
	attachments := []plan.Attachment{
		{Network: "storage", Interface: "net1"},
		{Network: "fast", Interface: "net2", VF: &plan.VF{PCIAddress: "0000:3b:02.1", PF: "ens1f0"}, Device: plan.Device{PFAddress: "0000:3b:00.0"}},
	}
	for range 2 { // a file of mode 0444 is replaced
		if err := d.write(sandbox, attachments); err != nil {
			t.Fatal(err)
		}
	}
	want := netstatus.DeviceInfo{Type: "pci", Version: "1.1.0", PCI: &netstatus.PCIDevice{Address: "0000:3b:02.1", PFAddress: "0000:3b:00.0"}}
	for _, name := range []string{"dp/multinet.dev-ens1f0-0000:3b:02.1-device.json", "cni/fast-box_net2"} {
		path := filepath.Join(d.Dir, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o444 {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got netstatus.DeviceInfo
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	names := d.names(sandbox, attachments)
	if len(names) != 2 {
		t.Errorf("names are %v", names)
	}
	d.remove(names)
	d.remove(names)
	for _, folder := range []string{"dp", "cni"} {
		if left, err := os.ReadDir(filepath.Join(d.Dir, folder)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", folder, left, err)
		}
	}
}
