// Command attach measures what the attach path costs beside the netlink calls that it cannot do without.
//
//	go run ./hack/bench/attach [-pairs 300]
//
// It needs root and makes namespaces of its own; the machine's interfaces are not touched. Both sides are measured
// alternately in one process, each on a new pod namespace. It prints medians and 99th percentiles, and
//
//	ratio attach-macvlan VALUE
//
// which is the median of attach.Attach divided by that of the calls made by hand.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	pairs := flag.Int("pairs", 300, "number of pairs to measure")
	flag.Parse()
	if err := compare(*pairs); err != nil {
		fmt.Fprintln(os.Stderr, "bench attach:", err)
		return 1
	}
	return 0
}

func compare(pairs int) error {
	dir, err := os.MkdirTemp("", "multinet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bench, err := newBench(dir)
	if err != nil {
		return err
	}
	defer bench.close()
	var ours, hand, release durations
	for i := range pairs {
		// Who comes first alternates as well: the second finds warmer caches.
		steps := []func(int) error{
			func(i int) error { return ours.add(bench.ours(i, &release)) },
			func(i int) error { return hand.add(bench.byHand(i)) },
		}
		if i%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps {
			if err := step(i); err != nil {
				return fmt.Errorf("pair %d: %w", i, err)
			}
		}
	}
	fmt.Printf("%d pairs, one macvlan with two addresses in a new pod namespace\n", pairs)
	ours.print("attach.Attach")
	hand.print("netlink by hand")
	release.print("attach.ReleaseAddresses")
	fmt.Printf("ratio attach-macvlan %.3f\n", float64(ours.quantile(0.5))/float64(hand.quantile(0.5)))
	return nil
}

type durations []time.Duration

func (d *durations) add(value time.Duration, err error) error {
	*d = append(*d, value)
	return err
}

func (d durations) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(q*float64(len(sorted)-1))]
}

func (d durations) print(name string) {
	fmt.Printf("%-24s median %8.3f ms   p99 %8.3f ms\n", name, milliseconds(d.quantile(0.5)), milliseconds(d.quantile(0.99)))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
