package plumb

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// A VF goes to vfio-pci with its MAC, and comes back as it was; also from an agent that was killed in between.
func TestSRIOVVFIO(t *testing.T) {
	c := newCards(t, "VFs for vfio-pci")
	vf, before := c.vf(1, 3)
	for kill := range 6 {
		var changes []string
		_, err := c.killAt(kill, &changes).BindVFIO(t.Context(), vf)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		c.release(vf, before, nil)
		if err == nil && !contains(changes, "driver none", "driver_override vfio-pci", "driver vfio-pci") {
			t.Errorf("changes %q", changes)
		}
	}
	device, err := c.BindVFIO(t.Context(), vf)
	c.must(err)
	c.must(c.Configure(t.Context(), vf, plan.VFSettings{VLAN: ptr(100)}, mac(3), nil))
	is, err := c.State(vf, nil)
	c.must(err)
	if is.Driver != "vfio-pci" || is.DriverOverride != "vfio-pci" || is.Interface != "" || is.AdminMAC != mac(3).String() || is.VLAN != 100 {
		t.Errorf("state is %+v", is)
	}
	if device.Group <= 0 {
		t.Errorf("device is %+v", device)
	}
	if again, err := c.BindVFIO(t.Context(), vf); again != device || err != nil {
		t.Errorf("the second time it is %+v, %v", again, err)
	}
	file, err := os.OpenFile(device.Device, os.O_RDWR, 0)
	c.must(err)
	if _, err := os.OpenFile(device.Device, os.O_RDWR, 0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the group's file is no group's: %v", err)
	}
	c.must(file.Close())
	if _, _, err := c.Move(vf, kerneltest.Namespace(t, "pod"), "net1", 0); err == nil || !strings.Contains(err.Error(), "its driver is vfio-pci") {
		t.Errorf("move of a VF without interface: %v", err)
	}
	c.release(vf, before, nil)
}

// The number of VFs is changed only where nobody has one.
func TestSRIOVNumberOfVFs(t *testing.T) {
	c := newCards(t, "the number of VFs")
	pf := c.pfs[1]
	device := "class/net/" + pf + "/device/"
	number := func(want int) {
		t.Helper()
		if is, err := c.number(device + "sriov_numvfs"); err != nil || is != want {
			t.Fatalf("PF %s has %d VFs, %v; want %d", pf, is, err, want)
		}
	}
	refused := func(n int, inUse []string, want string, cause error) {
		t.Helper()
		changed, err := c.EnsureVFs(pf, n, inUse)
		var count *VFCountError
		if changed || !errors.As(err, &count) || cause != nil && !errors.Is(err, cause) || err.Error() != want {
			t.Errorf("changed %v, error %v, want %s", changed, err, want)
		}
	}
	refused(2, nil, "PF "+pf+": have 2 VFs instead of 7: "+ErrFewerVFs.Error(), ErrFewerVFs)
	number(vfsPerPF)
	c.must(c.Sys.Write(device+"sriov_numvfs", "0"))
	changed, err := c.EnsureVFs(pf, 2, nil)
	if !changed || err != nil {
		t.Fatalf("from 0 to 2: %v, %v", changed, err)
	}
	number(2)
	if changed, err := c.EnsureVFs(pf, 2, nil); changed || err != nil {
		t.Errorf("2 once more: %v, %v", changed, err)
	}
	refused(8, nil, "PF "+pf+": have 8 VFs instead of 2: the card has 7 at most", nil)
	vf, before := c.vf(1, 0)
	inUse := "PF " + pf + ": have 4 VFs instead of 2: VFs of this PF are in use: " + vf.PCIAddress
	refused(4, []string{vf.PCIAddress}, inUse, ErrVFsInUse)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(vf, pod, mac(9), plan.VFSettings{})
	refused(4, nil, inUse, ErrVFsInUse)
	number(2)
	c.release(vf, before, pod)
	if changed, err := c.EnsureVFs(pf, 4, nil); !changed || err != nil {
		t.Errorf("from 2 to 4: %v, %v", changed, err)
	}
	number(4)
	c.must(c.Sys.Write(device+"sriov_numvfs", "0"))
	if _, err := c.State(vf, nil); !errors.Is(err, ErrNoVF) {
		t.Errorf("state of a VF that is gone: %v", err)
	}
	if _, err := c.EnsureVFs("lo", 1, nil); err == nil || !strings.Contains(err.Error(), "no SR-IOV") {
		t.Errorf("VFs of lo: %v", err)
	}
}
