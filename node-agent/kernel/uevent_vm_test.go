package kernel_test

import (
	"sync/atomic"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// TestSRIOVDeviceChanges: VFs come and go with messages.
func TestSRIOVDeviceChanges(t *testing.T) {
	pf := kerneltest.RequirePFs(t, 1, "messages about VFs")[0]
	device := "class/net/" + pf + "/device/"
	write := func(attribute, value string) {
		t.Helper()
		if err := kernel.Sys("").Write(device+attribute, value); err != nil {
			t.Fatal(err)
		}
	}
	var seen atomic.Int32
	ended := make(chan error, 1)
	go func() { ended <- kernel.DeviceChanges(t.Context(), func() { seen.Add(1) }) }()
	kerneltest.Eventually(t, "a message arrives", func() bool { write("uevent", "change"); return seen.Load() > 0 })
	write("sriov_numvfs", "0")
	seen.Store(0)
	write("sriov_numvfs", "3")
	kerneltest.Eventually(t, "three VFs have been told of", func() bool { return seen.Load() >= 3 })
	seen.Store(0)
	write("sriov_numvfs", "0")
	kerneltest.Eventually(t, "their end has been told of", func() bool { return seen.Load() >= 3 })
	select {
	case err := <-ended:
		t.Errorf("ended with %v", err)
	default:
	}
}
