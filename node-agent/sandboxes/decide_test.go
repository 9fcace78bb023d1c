package sandboxes

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecide(t *testing.T) {
	living := order{Namespace: "ns", Name: "a", UID: "order-a", PodUID: "pod", Finalizer: true}
	deleting := living
	deleting.Deleting = true
	done := deleting
	done.Finalizer = false
	plan := planned{PodUID: "pod", Name: "a"}
	sandbox := func(p phase) held { return held{ID: "box", PodUID: "pod", Phase: p} }
	due := func(p phase) held { return held{ID: "box", PodUID: "pod", Phase: p, Due: true} }

	tests := map[string]struct {
		in   snapshot
		want actions
	}{
		"nothing": {},
		"prepared, not yet in Synchronize: the plan stays": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}},
		},
		"running": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{sandbox(attached)}},
		},
		"found at start: verified": {
			in:   snapshot{Synchronized: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{sandbox(found)}},
			want: actions{Verify: []string{"box"}},
		},
		"found at start with the ledger lost: verified, which plans again": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Sandboxes: []held{sandbox(found)}},
			want: actions{Verify: []string{"box"}},
		},
		"its uplink changed: verified": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{due(attached)}},
			want: actions{Verify: []string{"box"}},
		},
		"broken: again only when due": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{sandbox(broken)}},
		},
		"broken and due": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{due(broken)}},
			want: actions{Verify: []string{"box"}},
		},
		"the hook is at work: left alone": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan}, Sandboxes: []held{due(attaching)}},
		},
		"force-deleted, the sandbox lives: its addresses are in use": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan}, Sandboxes: []held{sandbox(attached)}},
		},
		"order deleted by hand while the pod runs: the pod keeps it": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan}, Sandboxes: []held{sandbox(broken)}},
		},
		"order gone altogether while the pod runs": {
			in: snapshot{Synchronized: true, Listed: true, Planned: []planned{plan}, Sandboxes: []held{sandbox(attached)}},
		},
		"stopped but the pod lives: its sandbox may be made again": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{living}, Planned: []planned{plan}, Sandboxes: []held{sandbox(stopped)}},
		},
		"stopped and deleted: dropped, then released": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan}, Sandboxes: []held{sandbox(stopped)}},
			want: actions{Drop: []planned{plan}, Release: []order{deleting}},
		},
		"sandbox made again under the same pod: the new one holds": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan},
				Sandboxes: []held{{ID: "old", PodUID: "pod", Phase: stopped}, sandbox(attached)}},
		},
		"vanished while the agent was down: released": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan}},
			want: actions{Drop: []planned{plan}, Release: []order{deleting}},
		},
		"vanished, the runtime is not connected: nothing is known of sandboxes": {
			in: snapshot{Listed: true, Orders: []order{deleting}, Planned: []planned{plan}},
		},
		"vanished and deleted while the agent was down: the plan goes": {
			in:   snapshot{Synchronized: true, Listed: true, Planned: []planned{plan}},
			want: actions{Drop: []planned{plan}},
		},
		"start: orders not listed yet": {
			in: snapshot{Synchronized: true, Planned: []planned{plan}},
		},
		"ledger lost and the pod deleted": {
			in:   snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}},
			want: actions{Release: []order{deleting}},
		},
		"released before": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{done}},
		},
		"one of two orders deleted by hand before the pod starts": {
			in: snapshot{Synchronized: true, Listed: true,
				Orders:  []order{deleting, {Namespace: "ns", Name: "b", UID: "order-b", PodUID: "pod", Finalizer: true}},
				Planned: []planned{plan, {PodUID: "pod", Name: "b"}}},
			want: actions{Drop: []planned{plan}, Release: []order{deleting}},
		},
		"another pod's sandbox does not hold": {
			in: snapshot{Synchronized: true, Listed: true, Orders: []order{deleting}, Planned: []planned{plan},
				Sandboxes: []held{{ID: "box", PodUID: "other", Phase: attached}}},
			want: actions{Drop: []planned{plan}, Release: []order{deleting}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, decide(test.in)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
