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
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/multinet-dev/multinet/hack/measure"
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
	ours, hand, err := measure.Alternate(context.Background(), pairs, bench.side(bench.ours), bench.side(bench.byHand))
	if err != nil {
		return err
	}
	fmt.Printf("%d pairs, one VF of igb with MAC, VLAN and two addresses in a new pod namespace\n", pairs)
	ours.Print("attach.Attach", 0.9)
	hand.Print("netlink and sysfs by hand", 0.9)
	measure.Ratio("attach-vf", ours, hand)
	return nil
}
