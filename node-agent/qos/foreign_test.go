package qos

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// lacks tells whether the kernel has not what it was asked for; what it lacks here is tried in the virtual machine.
func (w *world) lacks(what string, err error) bool {
	w.t.Helper()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		w.t.Logf("this kernel has no %s", what)
		return true
	}
	must(w.t, err)
	return false
}

// Whatever somebody has put on a link stays, of kinds too that we never use.
func TestForeignKinds(t *testing.T) {
	want := []string{plan.KnobEgressMaximum, plan.KnobIngressMaximum}
	asked := attachment(1, asking("gold", plan.Bandwidth{Maximum: mbit}, plan.Bandwidth{Maximum: mbit}))
	for _, kind := range []string{"fq", "fq_codel", "tbf", "pfifo"} {
		w := newWorld(t, 100*mbit)
		foreign := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: w.index("eth1"), Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(0x77, 0)}, QdiscType: kind}
		var err error
		if kind == "tbf" {
			err = w.node.Handle().QdiscAdd(&netlink.Tbf{QdiscAttrs: foreign.QdiscAttrs, Rate: 1_000_000, Limit: 100_000, Buffer: 100_000})
		} else {
			err = w.node.Handle().QdiscAdd(foreign)
		}
		if w.lacks(kind, err) {
			continue
		}
		w.planned = []plan.Attachment{asked}
		w.apply()
		if root := w.root("eth1"); root.kind != kind {
			t.Errorf("the foreign %s was replaced by %+v", kind, root)
		}
		w.wantMissing(asked, v1alpha1.ReasonForeignQdisc, want...)
	}
	w := newWorld(t, 100*mbit)
	index := w.index("eth1")
	must(t, w.node.Handle().QdiscAdd(clsact(index)))
	flower := &netlink.Flower{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 7, Protocol: unix.ETH_P_IP},
		EthType: unix.ETH_P_IP, Actions: []netlink.Action{netlink.NewMirredAction(index)}}
	if w.lacks("flower", w.node.Handle().FilterAdd(flower)) {
		return
	}
	w.planned = []plan.Attachment{asked}
	w.apply()
	w.wantMissing(asked, v1alpha1.ReasonForeignQdisc, plan.KnobIngressMaximum)
	if ours, others, err := filters(w.node, index); ours || !others || err != nil {
		t.Errorf("filters: ours %v others %v, %v", ours, others, err)
	}
}
