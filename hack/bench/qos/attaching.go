package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// attaching measures the attach path on a node with classes and on one without. What Prepare does is done before: the class is
// in force, and the program is loaded. A hook of the runtime waits for Attach, and the pod's first container for Guard too.
func attaching(ctx context.Context, l *lab, pairs int) error {
	with, err := l.node("with")
	if err != nil {
		return err
	}
	without, err := l.node("without")
	if err != nil {
		return err
	}
	var results, guarded [2]durations
	for i := range pairs {
		for turn := range 2 {
			if err := ctx.Err(); err != nil {
				return err
			}
			// Who comes first alternates: the second finds warmer caches.
			which := (i + turn) % 2
			n := []*node{with, without}[which]
			took, all, err := n.attach(ctx, attachment(i, which == 0))
			if err != nil {
				return fmt.Errorf("pair %d: %w", i, err)
			}
			results[which] = append(results[which], took)
			guarded[which] = append(guarded[which], all)
		}
	}
	fmt.Printf("attach with a class %s, without %s\n", results[0], results[1])
	fmt.Printf("until containers may start: with a class %s, without %s\n", guarded[0], guarded[1])
	fmt.Printf("ratio qos-attach %.3f\n", float64(results[0].median())/float64(results[1].median()))
	fmt.Printf("ratio qos-attach-guarded %.3f\n", float64(guarded[0].median())/float64(guarded[1].median()))
	return nil
}

func (n *node) attach(ctx context.Context, a plan.Attachment) (took, guarded time.Duration, err error) {
	n.manager.Apply([]plan.Attachment{a}, true)
	path := filepath.Join(n.dir, n.name+"-pod")
	pod, err := kerneltest.CreateNamespace(path)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	_, err = n.attacher.Attach(ctx, path, []plan.Attachment{a})
	took = time.Since(start)
	err = errors.Join(err, n.attacher.Guard(ctx, path, []plan.Attachment{a}))
	guarded = time.Since(start)
	if a.QoS != nil && err == nil {
		if missing := n.manager.Report(a).Missing; len(missing) > 0 {
			err = fmt.Errorf("the class is not in force: %s", missing[0].Problem)
		}
	}
	return took, guarded, errors.Join(err, pod.Close(), kerneltest.RemoveNamespace(path))
}
