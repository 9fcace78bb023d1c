package controllers

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// No write outlives the lease: then no two attachments ever record one address, whatever the agents do.
func TestLeadersNeverRecordAnAddressTwice(t *testing.T) { checkLeaders(t, newLeadersWorld) }

// A create arrives at any time, long after another operator leads: then agents that probe keep two from being Ready,
// and the leader replaces one of the two.
func TestLateWritesNeverMakeTwoReady(t *testing.T) { checkLeaders(t, newProbingWorld) }

func checkLeaders(t *testing.T, newWorld func(context.Context, *rapid.T) *leadersWorld) {
	set(t, "rapid.steps", "100")
	set(t, "rapid.checks", "1000")
	// The same checks in every run: what chance finds must not fail the change of somebody else. Another -rapid.seed
	// looks elsewhere.
	set(t, "rapid.seed", "1")
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func(ctx context.Context) {
			w := newWorld(ctx, rt)
			rt.Repeat(w.actions())
			w.settle()
		})
	})
}

// set changes a flag for this test, unless the command line did.
func set(t *testing.T, name, value string) {
	f := flag.Lookup(name)
	if was := f.Value.String(); was == f.DefValue {
		_ = f.Value.Set(value)
		t.Cleanup(func() { _ = f.Value.Set(was) })
	}
}

// inBubble runs f with a clock of its own. A check of rapid fails by panic, which has to reach rapid.
func inBubble(t *testing.T, f func(context.Context)) {
	var failure any
	synctest.Test(t, func(t *testing.T) {
		defer func() { failure = recover() }()
		f(t.Context())
	})
	// Rapid tells failures apart by the lines they come from: that it ran out of data is none.
	if fmt.Sprintf("%T", failure) == "rapid.invalidData" {
		panic(failure)
	}
	if failure != nil {
		panic(failure)
	}
}

// choose one of several, or give the step up.
func choose[T any](t *rapid.T, what string, from []T) T {
	if len(from) == 0 {
		t.Skip()
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

// pass lets time go by, on the bubble's clock.
func pass(d time.Duration) { time.Sleep(d) }
