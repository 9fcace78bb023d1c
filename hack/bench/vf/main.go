// Command vf measures what the attach of an SR-IOV VF costs beside the calls of netlink and sysfs that it cannot do without.
//
//	go run ./hack/bench/vf [-pairs 40]
//
// On a machine that has no card with SR-IOV it runs itself in the virtual machine of the tests. Both sides are measured
// alternately in one process, on one VF, which gets another MAC each time and so has its driver bound anew. It prints
//
//	ratio attach-vf VALUE
//
// which is the median of attach.Attach, with the reading of what the VF was, divided by that of the calls made by hand
// (goal: at most 1.2).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	pairs := flag.Int("pairs", 40, "number of pairs to measure")
	flag.Parse()
	cards, err := filepath.Glob("/sys/class/net/*/device/sriov_totalvfs")
	switch {
	case err != nil:
	case len(cards) == 0:
		err = inGuest(*pairs)
	default:
		err = compare(filepath.Base(filepath.Dir(filepath.Dir(cards[0]))), *pairs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench vf:", err)
		return 1
	}
	return 0
}

// inGuest builds this program, static, and runs it where there are cards.
func inGuest(pairs int) error {
	if os.Getenv("MULTINET_BENCH_GUEST") != "" {
		return errors.New("the virtual machine has no card with SR-IOV")
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	program := filepath.Join(here, "bin", "bench-vf")
	guest := []string{"-C", "hack/cluster", "run", ".", "vm", "--pfs", "1", "--timeout", "8m", "--", program, "-pairs", strconv.Itoa(pairs)}
	for _, args := range [][]string{{"build", "-o", program, "./hack/bench/vf"}, guest} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "MULTINET_BENCH_GUEST=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go %v: %w", args, err)
		}
	}
	return nil
}

func compare(pf string, pairs int) error {
	dir, err := os.MkdirTemp("", "multinet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bench, err := newBench(dir, pf)
	if err != nil {
		return err
	}
	defer bench.node.Close()
	var ours, hand durations
	for i := range pairs {
		// Who comes first alternates as well: the second finds warmer caches.
		sides := []func() error{
			func() error { return ours.add(bench.measure(bench.ours, 2*i)) },
			func() error { return hand.add(bench.measure(bench.byHand, 2*i+1)) },
		}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return fmt.Errorf("pair %d: %w", i, err)
			}
		}
	}
	fmt.Printf("%d pairs, one VF of igb with MAC, VLAN and two addresses in a new pod namespace\n", pairs)
	ours.print("attach.Attach")
	hand.print("netlink and sysfs by hand")
	fmt.Printf("ratio attach-vf %.3f\n", float64(ours.quantile(0.5))/float64(hand.quantile(0.5)))
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
	fmt.Printf("%-26s median %8.3f ms   p90 %8.3f ms\n", name, milliseconds(d.quantile(0.5)), milliseconds(d.quantile(0.9)))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
