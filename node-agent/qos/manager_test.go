package qos

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// treeOn is what the kernel has on a link, as far as a tree says how it should be.
func (w *world) treeOn(name string) (found []class) {
	w.t.Helper()
	list, err := qdiscs(w.node)
	must(w.t, err)
	queues := queuesOf(list, w.index(name))
	all, err := classes(w.node, w.index(name))
	must(w.t, err)
	for minor, c := range all {
		if minor != minorRoot {
			has := class{minor: minor, rate: c.Rate * 8, ceil: c.Ceil * 8, quantum: c.Quantum, prio: c.Prio, limit: queues[minor].limit}
			if q := queues[minor]; q.kind == tbf && q.burst < wholeGSO {
				has.limit, has.pieces = 0, q.limit
			}
			found = append(found, has)
		}
	}
	slices.SortFunc(found, func(a, b class) int { return int(a.minor) - int(b.minor) })
	return found
}

func TestApply(t *testing.T) {
	w := newWorld(t, 100*mbit)
	w.planned = []plan.Attachment{attachment(1, nil)}
	w.apply()
	if root := w.root("eth1"); root.handle != 0 {
		t.Fatalf("an uplink without a class has %+v", root)
	}
	w.planned = append(w.planned,
		attachment(2, withPriority(asking("gold", plan.Bandwidth{Guaranteed: 60 * mbit}, plan.Bandwidth{}), 5)),
		attachment(3, asking("slow", plan.Bandwidth{Maximum: 10 * mbit, Burst: 100_000}, plan.Bandwidth{Maximum: 20 * mbit})))
	for _, what := range []string{"first", "again"} {
		w.apply()
		own := []class{
			{minor: 2, rate: mbit, ceil: 100 * mbit, quantum: 65536, limit: 131072}, {minor: 3, rate: mbit, ceil: mbit, quantum: 65536, limit: 131072},
			{minor: 4, rate: mbit, ceil: 100 * mbit, quantum: 65536, prio: 7, limit: 131072},
		}
		sent := append(slices.Clone(own), class{minor: 0x10, rate: 60 * mbit, ceil: 100 * mbit, quantum: 65536, prio: 2, limit: 131072},
			class{minor: 0x11, rate: 64 * kbit, ceil: 10 * mbit, quantum: 16384, prio: 7, limit: 65536})
		if diff := cmp.Diff(sent, w.treeOn("eth1"), cmp.AllowUnexported(class{})); diff != "" {
			t.Errorf("%s, egress (-want +got)\n%s", what, diff)
		}
		received := append(own, class{minor: 0x10, rate: 64 * kbit, ceil: 100 * mbit, quantum: 65536, prio: 2, limit: 131072},
			class{minor: 0x11, rate: 64 * kbit, ceil: 20 * mbit, quantum: 65536, prio: 7, limit: 131072})
		if diff := cmp.Diff(received, w.treeOn(detourName(w.index("eth1"))), cmp.AllowUnexported(class{})); diff != "" {
			t.Errorf("%s, ingress (-want +got)\n%s", what, diff)
		}
	}
	priority := 5
	for i, want := range []plan.QoSReport{
		{},
		{Egress: plan.Bandwidth{Guaranteed: 60 * mbit}, Priority: &priority},
		{Egress: plan.Bandwidth{Maximum: 10 * mbit, Burst: 100_000}, Ingress: plan.Bandwidth{Maximum: 20 * mbit}},
	} {
		if diff := cmp.Diff(want, w.manager.Report(w.planned[i])); diff != "" {
			t.Errorf("report of %s (-want +got)\n%s", w.planned[i].Name, diff)
		}
	}
	w.planned = w.planned[:1]
	w.apply()
	w.wantNothing()
}

// wantNothing: the node is as if no class had ever been there. What waited on an ifb has gone its way by the second look.
func (w *world) wantNothing() {
	w.t.Helper()
	w.apply()
	if root := w.root("eth1"); root.handle != 0 || root.kind == "htb" {
		w.t.Errorf("the uplink still has %+v", root)
	}
	if w.index(detourName(w.index("eth1"))) != 0 {
		w.t.Error("the ifb is still there")
	}
	list, err := qdiscs(w.node)
	must(w.t, err)
	if hasClsact(list, w.index("eth1")) {
		w.t.Error("clsact is still there")
	}
	var pinned []string
	must(w.t, filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			pinned = append(pinned, path)
		}
		return err
	}))
	if len(pinned) > 0 {
		w.t.Errorf("still pinned: %v", pinned)
	}
}

// An agent that starts finds what the former one has made, and takes it over. It removes nothing before it knows all plans.
func TestRestart(t *testing.T) {
	w := newWorld(t, 100*mbit)
	gold := w.pod(1, asking("gold", plan.Bandwidth{Guaranteed: 60 * mbit}, plan.Bandwidth{Maximum: 50 * mbit}))
	other := w.pod(2, asking("other", plan.Bandwidth{Maximum: 10 * mbit}, plan.Bandwidth{}))
	before, beforeIn := w.treeOn("eth1"), w.treeOn(detourName(w.index("eth1")))
	same := func(what string) {
		t.Helper()
		if diff := cmp.Diff(before, w.treeOn("eth1"), cmp.AllowUnexported(class{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
		if diff := cmp.Diff(beforeIn, w.treeOn(detourName(w.index("eth1"))), cmp.AllowUnexported(class{})); diff != "" {
			t.Errorf("%s, ingress (-want +got)\n%s", what, diff)
		}
	}
	w.manager = w.newManager()
	w.manager.Apply(nil, false)
	same("knows nothing")
	w.manager.Apply([]plan.Attachment{other.Attachment}, false)
	same("knows one")
	w.apply()
	same("knows all")
	if !w.guarded(gold) || !w.guarded(other) {
		t.Error("the programs on the pods' links were not found again")
	}
	if r := w.manager.Report(gold.Attachment); len(r.Missing) > 0 {
		t.Errorf("missing %v", r.Missing)
	}
	w.drop(other)
	if got := w.treeOn("eth1"); len(got) != 4 || got[3].rate != 60*mbit {
		t.Errorf("after one is gone: %+v", got)
	}
	w.drop(gold)
	w.wantNothing()
}

// What others have on the link is left alone, and said.
func TestForeignQdisc(t *testing.T) {
	w := newWorld(t, 100*mbit)
	foreign := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: w.index("eth1"), Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(0x77, 0)}, QdiscType: "bfifo"}
	must(t, w.node.Handle().QdiscAdd(foreign))
	w.planned = []plan.Attachment{attachment(1, asking("gold", plan.Bandwidth{Guaranteed: mbit, Maximum: 2 * mbit}, plan.Bandwidth{Maximum: mbit}))}
	w.apply()
	if root := w.root("eth1"); root.kind != "bfifo" {
		t.Errorf("the foreign qdisc was replaced by %+v", root)
	}
	w.wantMissing(w.planned[0], v1alpha1.ReasonForeignQdisc, plan.KnobEgressGuaranteed, plan.KnobEgressMaximum, plan.KnobIngressMaximum)
	must(t, w.node.Handle().QdiscDel(foreign))
	w.apply()
	w.wantMissing(w.planned[0], "")
	// And somebody who comes later takes the link over.
	must(t, w.node.Handle().QdiscDel(netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: w.index("eth1"), Parent: netlink.HANDLE_ROOT, Handle: handle(0)})))
	must(t, w.node.Handle().QdiscAdd(foreign))
	w.apply()
	w.wantMissing(w.planned[0], v1alpha1.ReasonForeignQdisc, plan.KnobEgressGuaranteed, plan.KnobEgressMaximum, plan.KnobIngressMaximum)
	w.apply()
	if pinned, err := w.manager.pins.list(linksDir); err != nil || len(pinned) > 0 {
		t.Errorf("still pinned: %v %v", pinned, err)
	}
}

func TestForeignFilter(t *testing.T) {
	w := newWorld(t, 100*mbit)
	index := w.index("eth1")
	must(t, w.node.Handle().QdiscAdd(clsact(index)))
	filter := &netlink.U32{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 7, Protocol: 3},
		Actions: []netlink.Action{netlink.NewMirredAction(index)}}
	must(t, w.node.Handle().FilterAdd(filter))
	w.planned = []plan.Attachment{attachment(1, asking("gold", plan.Bandwidth{Maximum: 2 * mbit}, plan.Bandwidth{Guaranteed: mbit, Maximum: 2 * mbit}))}
	w.apply()
	w.wantMissing(w.planned[0], v1alpha1.ReasonForeignQdisc, plan.KnobIngressGuaranteed, plan.KnobIngressMaximum)
	ours, others, err := filters(w.node, index)
	if ours || !others || err != nil {
		t.Errorf("ours %v others %v, %v", ours, others, err)
	}
}

// wantMissing compares the knobs that are missing, all for one reason.
func (w *world) wantMissing(a plan.Attachment, reason string, knobs ...string) {
	w.t.Helper()
	var got []string
	for _, m := range w.manager.Report(a).Missing {
		got = append(got, m.Knob)
		if m.Reason != reason || m.Problem == "" {
			w.t.Errorf("knob %s is missing for %s: %s; want %s", m.Knob, m.Reason, m.Problem, reason)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(knobs, got); diff != "" {
		w.t.Errorf("missing (-want +got)\n%s", diff)
	}
}

func TestCannotBeHad(t *testing.T) {
	maximum := plan.Bandwidth{Guaranteed: mbit, Maximum: 10 * mbit}
	for name, c := range map[string]struct {
		speed  uint64
		change func(*world, *plan.Attachment)
		reason string
		knobs  []string
	}{
		"no bpffs": {100 * mbit, func(w *world, _ *plan.Attachment) { w.manager.pins.root = filepath.Join(w.t.TempDir(), "multinet") },
			v1alpha1.ReasonQoSNotSupported, []string{plan.KnobEgressGuaranteed, plan.KnobEgressMaximum}},
		"speed unknown": {0, func(*world, *plan.Attachment) {}, v1alpha1.ReasonQoSNotSupported, []string{plan.KnobEgressGuaranteed}},
		"passthru": {100 * mbit, func(_ *world, a *plan.Attachment) { a.Macvlan = &plan.Macvlan{Mode: "passthru"} },
			v1alpha1.ReasonQoSNotSupported, []string{plan.KnobEgressGuaranteed, plan.KnobEgressMaximum}},
		"no such uplink": {100 * mbit, func(_ *world, a *plan.Attachment) { a.Device.Uplink = "eth9" },
			v1alpha1.ReasonQoSFailed, []string{plan.KnobEgressGuaranteed, plan.KnobEgressMaximum}},
		"promised too much": {mbit, func(_ *world, a *plan.Attachment) { a.QoS.Egress.Guaranteed = 5 * mbit },
			v1alpha1.ReasonGuaranteesExceedUplink, []string{plan.KnobEgressGuaranteed}},
		"burst of minutes": {100 * mbit, func(_ *world, a *plan.Attachment) { a.QoS.Egress.Burst = 1 << 40 },
			v1alpha1.ReasonQoSNotSupported, []string{plan.KnobEgressBurst}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.speed)
			a := attachment(1, asking("gold", maximum, plan.Bandwidth{}))
			c.change(w, &a)
			w.planned = []plan.Attachment{a}
			w.apply()
			w.wantMissing(a, c.reason, c.knobs...)
		})
	}
}

// What a pod's end leaves is removed with its plan, and counters do not fall.
func TestPodGone(t *testing.T) {
	w := newWorld(t, 100*mbit)
	first := w.pod(1, asking("gold", plan.Bandwidth{Maximum: 50 * mbit}, plan.Bandwidth{}))
	second := w.pod(2, asking("gold", plan.Bandwidth{Maximum: 50 * mbit}, plan.Bandwidth{}))
	w.ping(first)
	w.ping(second)
	before := w.count("gold", "egress")
	if before < 2 {
		t.Fatalf("the class counts %d packets", before)
	}
	kerneltest.Remove(t, first.Namespace, "net1")
	w.drop(first)
	if after := w.count("gold", "egress"); after < before {
		t.Errorf("the counter fell from %d to %d", before, after)
	}
	pinned, err := w.manager.pins.list(podsDir)
	must(t, err)
	if diff := cmp.Diff([]string{newMAC(second.MAC).fileName()}, pinned); diff != "" {
		t.Errorf("pinned (-want +got)\n%s", diff)
	}
}

// Who is slow has single packets wait, in both directions of a change without a queue being replaced: a tbf learns to take whole
// packets, and who becomes slow has the longer queue.
func TestQueuesOfSlowClasses(t *testing.T) {
	w := newWorld(t, gbit)
	in := func(n int, rate uint64) plan.Attachment {
		return attachment(n, asking("in", plan.Bandwidth{}, plan.Bandwidth{Maximum: rate}))
	}
	index := func() int { return w.index(detourName(w.index("eth1"))) }
	want := func(what string, kinds [2]string, limits [2]uint32, whole [2]bool) {
		t.Helper()
		for range 2 { // the second time nothing is to be changed
			w.apply()
			list, err := qdiscs(w.node)
			must(t, err)
			for i, minor := range []uint16{minorFirst, minorFirst + 1} {
				q := queuesOf(list, index())[minor]
				if q.kind != kinds[i] || q.limit != limits[i] || (q.burst > wholeGSO) != whole[i] {
					t.Errorf("%s: class %x has %+v", what, minor, q)
				}
			}
		}
	}
	w.planned = []plan.Attachment{in(1, mbit), in(2, 100*mbit)}
	want("at first", [2]string{tbf, bfifo}, [2]uint32{16384, 131072}, [2]bool{})
	w.planned = []plan.Attachment{in(1, 8*mbit), in(2, 200*mbit)}
	want("faster", [2]string{tbf, bfifo}, [2]uint32{50_000, 250_000}, [2]bool{})
	w.planned = []plan.Attachment{in(1, 200*mbit), in(2, mbit)}
	want("each the other", [2]string{tbf, bfifo}, [2]uint32{250_000, 131072}, [2]bool{true, false})
	w.planned = []plan.Attachment{in(1, mbit), in(2, mbit)}
	want("slow again", [2]string{tbf, bfifo}, [2]uint32{131072, 131072}, [2]bool{true, false})
	link, err := w.node.Handle().LinkByName("eth1")
	must(t, err)
	w.planned = nil
	w.apply()
	w.apply() // by which the ifb is gone
	w.planned = []plan.Attachment{in(1, mbit), in(2, mbit)}
	w.apply()
	must(t, w.node.Handle().LinkSetMTU(link, 9000))
	want("on a link of jumbo frames", [2]string{tbf, tbf}, [2]uint32{16384, 16384}, [2]bool{})
	list, err := qdiscs(w.node)
	must(t, err)
	if q := queuesOf(list, index())[minorFirst]; q.burst < 9014 {
		t.Errorf("a packet of the link does not fit into %+v", q)
	}
}

// 64-bit rates reach the kernel as they are, the one too whose lower half is 0.
func TestFastClasses(t *testing.T) {
	w := newWorld(t, 200*gbit)
	for i, rate := range []uint64{25 * gbit, 40 * gbit, 100 * gbit, 34_359_738_368} {
		w.planned = append(w.planned, attachment(i+1, asking("fast", plan.Bandwidth{Maximum: rate}, plan.Bandwidth{})))
	}
	w.apply()
	for i, want := range []uint64{25 * gbit, 40 * gbit, 100 * gbit, 34_359_738_368} {
		r := w.manager.Report(w.planned[i])
		if r.Egress.Maximum != want || len(r.Missing) > 0 {
			t.Errorf("read back %d, want %d; missing %v", r.Egress.Maximum, want, r.Missing)
		}
	}
}
