package inventory

import (
	"os"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// reader reads the machine again with each message of the kernel, as the node agent does, and never otherwise.
type reader struct {
	*testing.T
	messages chan struct{}
}

func newReader(t *testing.T) reader {
	r := reader{t, make(chan struct{}, 1)}
	wake := func() {
		select {
		case r.messages <- struct{}{}:
		default:
		}
	}
	go kernel.DeviceChanges(t.Context(), wake)                  //nolint:errcheck // Nobody waits for what does not come.
	go kernel.LinkChanges(t.Context(), func(string) { wake() }) //nolint:errcheck // The same.
	return r
}

// patience is longer than the second that a machine of its own takes: this one is emulated, and shares its processors.
const patience = 5 * time.Second

// within writes to sysfs, and wants a reading that holds soon after that, by messages alone.
func (r reader) within(what, entry, value string, holds func([]Device) bool) {
	r.Helper()
	if err := kernel.Sys("").Write(entry, value); err != nil {
		r.Fatal(err)
	}
	begin := time.Now()
	for {
		devices, err := Read(os.DirFS("/sys"), Config{})
		if err != nil {
			r.Fatal(err)
		}
		if holds(devices) {
			r.Logf("%s: %s after it was done", what, time.Since(begin).Round(time.Millisecond))
			return
		}
		select {
		case <-r.messages:
		case <-time.After(patience - time.Since(begin)):
			r.Fatalf("%s: not within %s: %+v", what, patience, devices)
		}
	}
}

func count(devices []Device, of func(Device) bool) (n int) {
	for _, d := range devices {
		if of(d) {
			n++
		}
	}
	return n
}

// VFs come and go with their number, and cards with their slot, and it is told when.
func TestSRIOVComeAndGo(t *testing.T) {
	pf := kerneltest.RequirePFs(t, 2, "devices that come and go")[1]
	address, err := kernel.Sys("").Target("class/net/" + pf + "/device")
	if err != nil {
		t.Fatal(err)
	}
	vfs := func(n int) func([]Device) bool {
		return func(all []Device) bool { return count(all, func(d Device) bool { return d.PFAddress == address }) == n }
	}
	cards := func(n int) func([]Device) bool {
		return func(all []Device) bool {
			return count(all, func(d Device) bool { return d.PCIAddress == address }) == n
		}
	}
	device := "bus/pci/devices/" + address
	r := newReader(t)
	if err := kernel.Sys("").Write(device+"/sriov_numvfs", "0"); err != nil {
		t.Fatal(err)
	}
	r.within("3 VFs come", device+"/sriov_numvfs", "3", vfs(3))
	r.within("they go", device+"/sriov_numvfs", "0", vfs(0))
	r.within("2 VFs come", device+"/sriov_numvfs", "2", vfs(2))
	r.within("the card goes", device+"/remove", "1", func(all []Device) bool { return vfs(0)(all) && cards(0)(all) })
	r.within("the card comes", "bus/pci/rescan", "1", cards(1))
}
