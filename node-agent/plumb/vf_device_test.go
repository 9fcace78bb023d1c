package plumb

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
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

// A program that has the VF keeps its driver from letting go: the release gives up in time and says why, and succeeds
// when the program has ended.
func TestSRIOVVFIOInUse(t *testing.T) {
	c := newCards(t, "a VF that a program drives")
	vf, before := c.vf(1, 4)
	device, err := c.BindVFIO(t.Context(), vf)
	c.must(err)
	end := drive(t, device, vf)
	h := c.VFs
	h.Settle = 300 * time.Millisecond
	err = h.Release(t.Context(), vf, before, nil)
	var dirty *DirtyError
	if !errors.As(err, &dirty) || !strings.HasPrefix(dirty.Reasons[0], "driver is ") || !errors.Is(err, ErrVFInUse) ||
		!strings.Contains(err.Error(), "set driver to none: something still uses the VF: not within 300ms") {
		t.Errorf("error %v, want that the VF is used", err)
	}
	begin := time.Now()
	if err := h.Release(t.Context(), vf, before, nil); !errors.Is(err, ErrVFInUse) || time.Since(begin) > time.Second {
		t.Errorf("the second time: %v after %s, want the same at once", err, time.Since(begin))
	}
	end()
	kerneltest.Eventually(t, "the VF can be released", func() bool { return c.Release(t.Context(), vf, before, nil) == nil })
	c.wantClean(vf, before)
}

// drive opens the VF as DPDK does; see Documentation/driver-api/vfio.rst.
func drive(t *testing.T, device VFIO, vf VF) (end func()) {
	t.Helper()
	const (
		setIOMMU, typeOne         = 0x3b66, 1
		setContainer, getDeviceFD = 0x3b68, 0x3b6a
	)
	// The emulated IOMMU does not remap interrupts.
	if err := kernel.Sys("").Write("module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "1"); err != nil {
		t.Fatal(err)
	}
	container, err := os.OpenFile("/dev/vfio/vfio", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	group, err := os.OpenFile(device.Device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(group.Fd()), setContainer, int(container.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(container.Fd()), setIOMMU, typeOne); err != nil {
		t.Fatal(err)
	}
	name, err := unix.BytePtrFromString(vf.PCIAddress)
	if err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, group.Fd(), getDeviceFD, uintptr(unsafe.Pointer(name)))
	if errno != 0 {
		t.Fatalf("open the VF: %v", errno)
	}
	return func() {
		if err := errors.Join(unix.Close(int(fd)), group.Close(), container.Close()); err != nil {
			t.Error(err)
		}
	}
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
