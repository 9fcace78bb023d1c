package dra

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"k8s.io/dynamic-resource-allocation/resourceslice"

	"github.com/multinet-dev/multinet/node-agent/inventory"
)

// TestPublishTellsTheLatestLast: a VF becomes clean while a registration has the devices published again. What was read before
// must not be told after it, for nothing would tell the truth until the next change.
func TestPublishTellsTheLatestLast(t *testing.T) {
	const vf = "0000:01:10.4"
	d := NewDevices(func() (Node, error) { return Node{Devices: []inventory.Device{vfDevice(4)}}, nil })
	var mu sync.Mutex
	tainted := false
	p := &Plugin{Options: Options{NodeName: "node", Devices: d}}
	p.tell = func(_ context.Context, r resourceslice.DriverResources) error {
		runtime.Gosched()
		mu.Lock()
		defer mu.Unlock()
		tainted = len(r.Pools["node"].Slices[0].Devices[0].Taints) > 0
		return nil
	}
	for range 1000 {
		d.SetDirty(vf, "the-vlan-is-7")
		refresh(t, d)
		var both sync.WaitGroup
		both.Go(func() { tell(t, p) })
		both.Go(func() {
			d.SetDirty(vf, "")
			refresh(t, d)
			tell(t, p)
		})
		both.Wait()
		if tainted {
			t.Fatal("the VF is clean, and the last that was told is that it is dirty")
		}
	}
}

func refresh(t *testing.T, d *Devices) {
	t.Helper()
	if _, err := d.Refresh(); err != nil {
		t.Error(err)
	}
}

func tell(t *testing.T, p *Plugin) {
	t.Helper()
	if err := p.Publish(t.Context()); err != nil {
		t.Error(err)
	}
}
