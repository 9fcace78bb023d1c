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
// which is the median time of the reference plugins divided by ours, and
//
//	ratio cni-shim VALUE
//
// the milliseconds by which ADD of one pod takes longer than attach.Attach of the same interface.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	rounds := flag.Int("rounds", 15, "number of rounds for each number of pods at once")
	flag.Parse()
	if err := compare(context.Background(), *rounds); err != nil {
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
type times map[string][]time.Duration

func (t times) median(side string) time.Duration {
	sorted := slices.Sorted(slices.Values(t[side]))
	return sorted[len(sorted)/2]
}

func (b *bench) compare(ctx context.Context, pods, rounds int) error {
	add, del := times{}, times{}
	for round := range rounds {
		sides := []side{b.ours(), b.reference(), b.attachAlone()}
		// Who comes first alternates: the next finds warmer caches.
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			added, deleted, err := b.round(ctx, s, pods)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			add[s.name], del[s.name] = append(add[s.name], added), append(del[s.name], deleted)
		}
	}
	fmt.Printf("%d pods at once, medians of %d rounds\n", pods, rounds)
	for _, name := range []string{ours, reference, attachAlone} {
		fmt.Printf("  %-24s ADD %9.2f ms   DEL %9.2f ms\n", name, milliseconds(add.median(name)), milliseconds(del.median(name)))
	}
	fmt.Printf("ratio cni-add-%d %.2f\n", pods, float64(add.median(reference))/float64(add.median(ours)))
	fmt.Printf("ratio cni-del-%d %.2f\n", pods, float64(del.median(reference))/float64(del.median(ours)))
	if pods == 1 {
		fmt.Printf("ratio cni-shim %.2f\n", milliseconds(add.median(ours)-add.median(attachAlone)))
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
