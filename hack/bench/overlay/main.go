// Command overlay measures Multinet's overlay beside overlays that are made by hand, between two nodes with a cable.
//
//	go run ./hack/bench/overlay [-rounds 100] [-pairs 400] [-pods 20000]
//
// It needs root and makes namespaces of its own; the machine's interfaces are not touched. Both sides of a comparison are
// measured alternately in one process. It prints what each side needed, and
//
//	ratio overlay-throughput VALUE   TCP between two pods beside VXLAN and macvlan links of the same kind (goal: at least 0.95)
//	ratio overlay-packet VALUE       CPU time of a small packet beside bridge, veth and VXLAN links (goal: at most 1)
//	ratio overlay-attach VALUE       attach.Attach beside its netlink calls by hand (goal: at most 1.3)
//	ratio overlay-entries VALUE      telling the kernel of 20,000 remote pods beside the library's calls (goal: under 300 ms)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/multinet-dev/multinet/hack/bench/overlay/fabric"
)

func main() { os.Exit(run()) }

// options are how much is measured.
type options struct{ rounds, pairs, pods int }

func run() int {
	var o options
	flag.IntVar(&o.rounds, "rounds", 100, "rounds of TCP, and a quarter as many of packets")
	flag.IntVar(&o.pairs, "pairs", 400, "pairs of pods to attach")
	flag.IntVar(&o.pods, "pods", 20000, "remote pods to program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measureAll(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench overlay:", err)
		return 1
	}
	return 0
}

// measure removes what it made, also where it fails or is interrupted.
func measureAll(ctx context.Context, o options) (err error) {
	lab, err := fabric.NewLab()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	ours, err := lab.Ours()
	if err != nil {
		return fmt.Errorf("Multinet's pair: %w", err)
	}
	hand, err := lab.ByHand()
	if err != nil {
		return fmt.Errorf("the pair by hand: %w", err)
	}
	bridged, err := lab.Bridge()
	if err != nil {
		return fmt.Errorf("the pair with bridges: %w", err)
	}
	if err := throughput(ctx, o.rounds, ours, hand); err != nil {
		return fmt.Errorf("throughput: %w", err)
	}
	if err := packets(ctx, o.rounds/4, ours, bridged); err != nil {
		return fmt.Errorf("packets: %w", err)
	}
	if err := entries(ctx, o.pods, ours, hand); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if err := attaching(ctx, o.pairs, lab, ours, hand); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}
