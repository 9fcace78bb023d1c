package main

import (
	"context"
	"fmt"
	"time"

	"github.com/multinet-dev/multinet/hack/bench/overlay/fabric"
	"github.com/multinet-dev/multinet/hack/measure"
)

// entryRounds are few: one of the library takes a second.
const entryRounds = 5

// entries compares how the kernel is told of many remote pods, and measures how its list is brought back to what it should be.
func entries(ctx context.Context, count int, ours, hand fabric.Pair) error {
	pods := fabric.Remotes(count)
	var reconciles measure.Durations
	program := func() (took time.Duration, err error) {
		err = fabric.WithVXLAN(ours[0], func(index int) error {
			start := time.Now()
			if err := fabric.Program(ours[0], index, pods); err != nil {
				return err
			}
			took = time.Since(start)
			reconciled, err := reconcile(ours[0], index, pods)
			reconciles = append(reconciles, reconciled)
			return err
		})
		return took, err
	}
	library := func() (took time.Duration, err error) {
		err = fabric.WithVXLAN(hand[0], func(index int) error {
			start := time.Now()
			err := fabric.NeighboursByHand(hand[0], index, pods...)
			took = time.Since(start)
			return err
		})
		return took, err
	}
	a, b, err := measure.Alternate(ctx, entryRounds, program, library)
	if err != nil {
		return err
	}
	fmt.Printf("forwarding, %d rounds of %d remote pods with two addresses each, on a link without entries\n", entryRounds, count)
	fmt.Printf("%-32s %s (goal: under 300)\n", "plumb.Program", a)
	fmt.Printf("%-32s %s\n", "netlink.Handle.NeighSet", b)
	fmt.Printf("%-32s %s (one dump; %d entries too few, %d too many)\n", "reconciled", reconciles, drift(count), drift(count))
	ratio("overlay-entries", a, b)
	return nil
}

// drift is how many entries are wrong in each way before a reconciliation.
func drift(pods int) int { return pods / 200 }

// reconcile spoils some of the entries, and measures how long it takes to find and correct them.
func reconcile(node *fabric.Node, index int, pods []fabric.Remote) (took time.Duration, err error) {
	spoilt := drift(len(pods))
	if err := fabric.Spoil(node, index, pods, spoilt); err != nil {
		return 0, err
	}
	start := time.Now()
	wrong, err := fabric.Reconcile(node, index, pods)
	took = time.Since(start)
	if err != nil {
		return 0, err
	}
	if wrong != 2*spoilt {
		return 0, fmt.Errorf("%d entries were wrong instead of %d", wrong, 2*spoilt)
	}
	wrong, err = fabric.Reconcile(node, index, pods)
	if err == nil && wrong != 0 {
		err = fmt.Errorf("%d entries are wrong after a reconciliation", wrong)
	}
	return took, err
}
