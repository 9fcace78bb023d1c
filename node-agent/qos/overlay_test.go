package qos

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// The link of an overlay has the same tree as an uplink, and takes it along when it goes.
func TestOverlayLink(t *testing.T) {
	w := newWorld(t, 100*mbit)
	kerneltest.Address(t, w.node, "eth1", "192.0.2.1/24")
	overlay := plan.Overlay{Network: "rack", Rack: "r1", VNI: 5000, Port: 4789, Local: netip.MustParseAddr("192.0.2.1")}
	on := func(n int, qos *plan.QoS) plan.Attachment {
		a := attachment(n, qos)
		a.Device, a.Overlay, a.Rack = plan.Device{Name: "overlay", Uplink: "eth1"}, &overlay, "r1"
		return a
	}
	w.planned = []plan.Attachment{on(1, both("gold", plan.Bandwidth{Guaranteed: 20 * mbit, Maximum: 50 * mbit})), on(2, nil)}
	w.apply()
	if missing := w.manager.Report(w.planned[0]).Missing; len(missing) != 4 {
		t.Errorf("without the link %v is missing, want all four knobs", missing)
	}
	_, _, err := plumb.EnsureOverlay(w.node, kernel.Proc(""), overlay)
	must(t, err)
	w.apply()
	w.wantMissing(w.planned[0], "")
	name := plumb.OverlayName(5000)
	before := w.treeOn(name)
	if len(before) != 4 || before[3].rate != 20*mbit || before[3].ceil != 50*mbit {
		t.Errorf("tree %+v", before)
	}
	if root := w.root("eth1"); root.handle != 0 {
		t.Errorf("the interface under the overlay has %+v", root)
	}
	// Made anew, as after somebody removed it.
	kerneltest.Remove(t, w.node, name)
	w.apply()
	_, _, err = plumb.EnsureOverlay(w.node, kernel.Proc(""), overlay)
	must(t, err)
	w.apply()
	w.wantMissing(w.planned[0], "")
	if diff := cmp.Diff(before, w.treeOn(name), cmp.AllowUnexported(class{})); diff != "" {
		t.Errorf("made anew (-want +got)\n%s", diff)
	}
	kerneltest.Remove(t, w.node, name)
	w.planned = nil
	w.apply()
	w.wantNothing()
}
