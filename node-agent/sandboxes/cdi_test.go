package sandboxes

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// TestCDIDevice: the file is there from Prepare until the plan is dropped.
func TestCDIDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		pna := vfOrder()
		pna.Spec.SRIOV.DeviceType = v1alpha1.VFDeviceTypeVFIO
		w.order(pna)
		r := vfRequest()
		r.Claim.UID = "c-1"
		if err := w.keeper.Prepare(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		ids, err := w.keeper.CDIDevices(r)
		if diff := cmp.Diff([]string{"multinet.dev/vf=c-1-nic"}, ids); err != nil || diff != "" {
			t.Error(err, diff)
		}
		path := filepath.Join(w.keeper.CDI.Dir, "multinet.dev-c-1-nic.json")
		content, err := os.ReadFile(path)
		want := `{"cdiVersion":"0.6.0","kind":"multinet.dev/vf","devices":[{"name":"c-1-nic","containerEdits":{"deviceNodes":[{"path":"/dev/vfio/vfio"},{"path":"/dev/vfio/12"}]}}]}`
		if diff := cmp.Diff(want, string(content)); err != nil || diff != "" {
			t.Error(err, diff)
		}
		gone := pna.DeepCopy()
		gone.DeletionTimestamp = vfDeleted().DeletionTimestamp
		w.order(gone)
		synctest.Wait()
		if left, err := os.ReadDir(w.keeper.CDI.Dir); err != nil || len(left) != 0 {
			t.Errorf("left %v, %v", left, err)
		}
	})
}

func TestInterfacesAreNoCDIDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := preparedVF(t)
		if ids, err := w.keeper.CDIDevices(vfRequest()); err != nil || ids != nil {
			t.Error(ids, err)
		}
	})
}

func TestCDIPrune(t *testing.T) {
	c := CDI{Dir: t.TempDir()}
	for _, name := range []string{"multinet.dev-old.json", "multinet.dev-old.json.new", "multinet.dev-kept-nic.json", "nvidia.json"} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Prune([]plan.Pod{{Attachments: []plan.Attachment{{Claim: &plan.Claim{UID: "kept", Request: "nic/first"}}, {}}}}); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(c.Dir)
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if diff := cmp.Diff([]string{"multinet.dev-kept-nic.json", "nvidia.json"}, left); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := (CDI{Dir: filepath.Join(c.Dir, "absent")}).Prune(nil); err == nil {
		t.Error("a folder that is not there was looked at")
	}
}
