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
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/multinet-dev/multinet/hack/measure"
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
	ours, hand, err := measure.Alternate(context.Background(), pairs, bench.ours, bench.byHand)
	if err != nil {
		return err
	}
	fmt.Printf("%d pairs, one macvlan with two addresses in a new pod namespace\n", pairs)
	ours.Print("attach.Attach", 0.99)
	hand.Print("netlink by hand", 0.99)
	bench.released.Print("attach.ReleaseAddresses", 0.99)
	measure.Ratio("attach-macvlan", ours, hand)
	return nil
}
