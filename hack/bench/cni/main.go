// Command cni measures the CNI plugin against the reference plugins macvlan and host-local.
//
//	go run ./hack/bench/cni [-rounds 15]
//
// It needs root and makes namespaces of its own. Both sides start one process for each pod, 1, 10 and 50 of them at once, on new pod
// namespaces, alternately in one run. Ours gets two addresses and a route, the other one address, since with IPv6 it would wait for
// the kernel's duplicate address detection. It prints, for each number of pods at once,
//
//	ratio cni-add-N VALUE
//	ratio cni-del-N VALUE
//
// which is the median time of the reference plugins divided by ours. Two more sides say what of ours is whose: the attach path
// called directly, and a Go program that does nothing, which is the least that a plugin in Go takes. By them it prints, in milliseconds,
//
//	ratio cni-shim VALUE
//	ratio cni-start VALUE
//	ratio cni-check VALUE
//
// the time by which ADD of one pod is longer than attach.Attach of the same interface, how much of that the empty program takes,
// and a CHECK less the empty program, which is what the agent and the call to it take; and
//
//	ratio cni-floor-N VALUE
//
// the reference plugins divided by the empty program together with the attach path: no plugin in Go can do better.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/multinet-dev/multinet/hack/measure"
)

func main() { os.Exit(run()) }

func run() int {
	rounds := flag.Int("rounds", 15, "number of rounds for each number of pods at once")
	agent := flag.String("agent", "", "be the agent of a node with this folder; the benchmark starts itself so")
	namespace := flag.String("namespace", "", "of that node")
	program := flag.String("program", "", "the plugin of that node")
	flag.Parse()
	ctx := context.Background()
	work := func() error { return compare(ctx, *rounds) }
	if *agent != "" {
		work = func() error { return beAgent(ctx, *agent, *namespace, *program, os.Stdin, os.Stdout) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench cni:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "multinet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, dir)
	if err != nil {
		return err
	}
	defer b.close()
	for _, pods := range []int{1, 10, 50} {
		if err := b.compare(ctx, pods, rounds); err != nil {
			return fmt.Errorf("%d pods at once: %w", pods, err)
		}
	}
	return nil
}

// times are of one verb, by side.
type times map[string]measure.Durations

func (t times) add(side string, took time.Duration) { t[side] = append(t[side], took) }

func (t times) milliseconds(side string) float64 { return measure.Milliseconds(t[side].Median()) }

func (b *bench) compare(ctx context.Context, pods, rounds int) error {
	add, check, del := times{}, times{}, times{}
	for round := range rounds {
		sides := []side{b.ours(), b.reference(), b.attachAlone(), b.emptyProgram()}
		// Who comes first alternates: the next finds warmer caches.
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			took, err := b.round(ctx, s, pods)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			add.add(s.name, took.add)
			check.add(s.name, took.check)
			del.add(s.name, took.del)
		}
	}
	fmt.Printf("%d pods at once, medians of %d rounds\n", pods, rounds)
	for _, name := range []string{ours, reference, attachAlone, emptyProgram} {
		fmt.Printf("  %-24s ADD %9.2f ms   CHECK %9.2f ms   DEL %9.2f ms\n", name, add.milliseconds(name), check.milliseconds(name), del.milliseconds(name))
	}
	fmt.Printf("ratio cni-add-%d %.2f\n", pods, add.milliseconds(reference)/add.milliseconds(ours))
	fmt.Printf("ratio cni-del-%d %.2f\n", pods, del.milliseconds(reference)/del.milliseconds(ours))
	fmt.Printf("ratio cni-floor-%d %.2f\n", pods, add.milliseconds(reference)/(add.milliseconds(emptyProgram)+add.milliseconds(attachAlone)))
	if pods == 1 {
		fmt.Printf("ratio cni-shim %.2f\n", add.milliseconds(ours)-add.milliseconds(attachAlone))
		fmt.Printf("ratio cni-start %.2f\n", add.milliseconds(emptyProgram))
		fmt.Printf("ratio cni-check %.2f\n", check.milliseconds(ours)-check.milliseconds(emptyProgram))
	}
	return nil
}
