package attach

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

func tagged(p plan.Attachment, id int) plan.Attachment {
	p.Macvlan = &plan.Macvlan{Mode: "bridge", VLAN: id}
	return p
}

func planned(segments ...plan.Segment) func() ([]plan.Segment, bool) {
	return func() ([]plan.Segment, bool) { return segments, true }
}

// attachVLAN returns false on a kernel without 802.1Q, after a look at how that is told.
func (w *world) attachVLAN(pod *kernel.Namespace, p plan.Attachment) bool {
	w.t.Helper()
	before := w.state(pod)
	_, err := w.attacher.Attach(w.t.Context(), pod.Path(), []plan.Attachment{p})
	if !errors.Is(err, plumb.ErrNoVLANSupport) {
		w.must(err)
		return true
	}
	want := `network "storage" interface net1: find uplink: the node's kernel has no 802.1Q VLAN support: load the module 8021q`
	if !strings.HasPrefix(err.Error(), want) {
		w.t.Errorf("error %q, want it to begin with %q", err, want)
	}
	w.wantState(pod, before)
	return false
}

func vlanSegment(uplink string, id int) plan.Segment {
	return plan.Segment{VLAN: plan.VLAN{Uplink: uplink, ID: id}}
}

func (w *world) vlanLinks() (names []string) {
	w.t.Helper()
	links, err := plumb.VLANLinks(w.node)
	w.must(err)
	for _, link := range links {
		names = append(names, link.Name)
	}
	slices.Sort(names)
	return names
}

// A kernel without 802.1Q says so; one with it carries the VLAN until no plan needs it.
func TestVLAN(t *testing.T) {
	w := newWorld(t)
	pod, other := w.pod(), w.pod()
	p, q := tagged(storage(), 100), tagged(withMAC(storage(), 80), 200)
	if !w.attachVLAN(pod, p) {
		w.must(w.attacher.PruneSegments(planned()))
		return
	}
	w.attach(pod, p)
	w.attach(other, q)
	w.must(kerneltest.VLAN(t, w.node, "eth1", 300, "foreign.300"))
	one, two := vlanSegment("eth1", 100), vlanSegment("eth1", 200)
	for _, step := range []struct {
		planned []plan.Segment
		want    []string
	}{
		{[]plan.Segment{one, two}, []string{"eth1.100", "eth1.200"}},
		{[]plan.Segment{one}, []string{"eth1.100"}},
		{nil, nil},
		{nil, nil},
	} {
		w.must(w.attacher.PruneSegments(planned(step.planned...)))
		if diff := cmp.Diff(step.want, w.vlanLinks()); diff != "" {
			t.Errorf("planned %v: %s", step.planned, diff)
		}
		if slices.Contains(step.planned, one) {
			w.check(pod, p)
		}
	}
	if _, found, err := plumb.FindLink(w.node, "foreign.300"); !found || err != nil {
		t.Errorf("the link of somebody else: found %v, %v", found, err)
	}
	w.attach(pod, p)
	w.check(pod, p)
}

// The holder of an address in a VLAN is found there, and only there.
func TestProbeAsksInTheVLAN(t *testing.T) {
	w := newWorld(t)
	holder := tagged(withMAC(storage(), 81), 100)
	holder.Device.Uplink = "far1"
	_, err := New(Options{NodeNamespace: w.machine.Path()}).Attach(t.Context(), w.pod().Path(), []plan.Attachment{holder})
	if errors.Is(err, plumb.ErrNoVLANSupport) {
		_, err := w.attacher.Probe(t.Context(), tagged(storage(), 100))
		var failed *Error
		if !errors.Is(err, plumb.ErrNoVLANSupport) || !errors.As(err, &failed) || failed.Step != StepProbe {
			t.Errorf("error %v, want one of step %q", err, StepProbe)
		}
		return
	}
	w.must(err)
	// On a busy machine an answer comes after the probe's end.
	kerneltest.Eventually(t, "the holder of both addresses answers in the VLAN", func() bool {
		conflicts, err := w.attacher.Probe(t.Context(), tagged(storage(), 100))
		w.must(err)
		for _, c := range conflicts {
			if c.MAC.String() != holder.MAC.String() {
				t.Errorf("%s answers for %s", c.MAC, c.Addr)
			}
		}
		return len(conflicts) == 2
	})
	for _, elsewhere := range []plan.Attachment{storage(), tagged(storage(), 200)} {
		if conflicts, err := w.attacher.Probe(t.Context(), elsewhere); err != nil || len(conflicts) > 0 {
			t.Errorf("in VLAN %d: %v, %v", elsewhere.Macvlan.VLAN, conflicts, err)
		}
	}
}

func TestPruneSegmentsKeepsOutOfAttaches(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		plan plan.Attachment
		want error
	}{
		"to a VLAN": {tagged(storage(), 100), ErrBusy},
		"untagged":  {storage(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			boom := errors.New("boom")
			a := w.newAttacher()
			a.before = at("net1", StepUplink, func() error {
				if err := a.PruneSegments(planned()); !errors.Is(err, test.want) {
					t.Errorf("prune during an attach: %v, want %v", err, test.want)
				}
				return boom
			})
			if _, err := a.Attach(t.Context(), w.pod().Path(), []plan.Attachment{test.plan}); !errors.Is(err, boom) {
				t.Error(err)
			}
			w.must(a.PruneSegments(func() ([]plan.Segment, bool) {
				if a.segments.TryRLock() {
					t.Error("an attach to a VLAN could begin between the look at the plans and the removal")
				}
				return nil, true
			}))
			unknown := func() ([]plan.Segment, bool) { return nil, false }
			if err := a.PruneSegments(unknown); !errors.Is(err, ErrBusy) {
				t.Errorf("prune while the plans are not known: %v", err)
			}
		})
	}
}

// An attach that begins when the removal has looked at the plans makes the link anew, after it.
func TestAttachDuringRemoval(t *testing.T) {
	w := newWorld(t)
	pod, p := w.pod(), tagged(storage(), 100)
	if !w.attachVLAN(pod, p) {
		return
	}
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	attached := make(chan error, 1)
	w.must(w.attacher.PruneSegments(func() ([]plan.Segment, bool) {
		go func() {
			_, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p})
			attached <- err
		}()
		select {
		case err := <-attached:
			attached <- err
			t.Error("the attach did not wait for the removal")
		case <-time.After(300 * time.Millisecond): // it takes one
		}
		return nil, true
	}))
	w.must(<-attached)
	w.check(pod, p)
}

func TestUnusedSegments(t *testing.T) {
	link := func(name, uplink string, id int) segmentLink {
		return segmentLink{vlan: plan.VLAN{Uplink: uplink, ID: id}, name: name}
	}
	overlay := func(vni int) plan.Segment { return plan.Segment{Overlay: plan.Overlay{Rack: "r1", VNI: vni}} }
	hundred := link("eth1.100", "eth1", 100)
	for name, test := range map[string]struct {
		planned []plan.Segment
		found   []segmentLink
		want    []segmentLink
	}{
		"nothing":                {},
		"planned, not there yet": {planned: []plan.Segment{vlanSegment("eth1", 100)}},
		"needed":                 {planned: []plan.Segment{vlanSegment("eth1", 100)}, found: []segmentLink{hundred}},
		"no plan is left":        {found: []segmentLink{hundred}, want: []segmentLink{hundred}},
		"planned on another uplink": {planned: []plan.Segment{vlanSegment("eth2", 100)},
			found: []segmentLink{hundred}, want: []segmentLink{hundred}},
		"another VLAN of the uplink": {planned: []plan.Segment{vlanSegment("eth1", 10)},
			found: []segmentLink{hundred, link("eth1.10", "eth1", 10)}, want: []segmentLink{hundred}},
		"its uplink was renamed under it": {planned: []plan.Segment{vlanSegment("eth1", 100)},
			found: []segmentLink{link("eth1.100", "ens1", 100)}},
		"renamed itself": {planned: []plan.Segment{vlanSegment("eth1", 100)},
			found: []segmentLink{link("storage", "eth1", 100)}},
		"an uplink with a long name": {planned: []plan.Segment{vlanSegment("enp129s0f1np1", 4000)},
			found: []segmentLink{link(plumb.VLANName("enp129s0f1np1", 4000), "enp129s0f1np1", 4000)}},
		"a planned overlay":                    {planned: []plan.Segment{overlay(5000)}, found: []segmentLink{{name: "mnvx5000"}}},
		"an overlay that was planned":          {planned: []plan.Segment{overlay(500)}, found: []segmentLink{{name: "mnvx5000"}}, want: []segmentLink{{name: "mnvx5000"}}},
		"an overlay does not need a VLAN link": {planned: []plan.Segment{overlay(100)}, found: []segmentLink{hundred}, want: []segmentLink{hundred}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, unusedSegments(test.planned, test.found), cmp.AllowUnexported(segmentLink{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
