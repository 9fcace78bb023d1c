// Command qos measures what classes cost on a node: a packet that is classified among many attachments, and an attach.
//
//	go run ./hack/bench/qos [-rounds 60] [-pairs 300]
//
// It needs root and makes namespaces and a BPF file system of its own; the machine's interfaces are not touched. All sides of a
// comparison are measured alternately in one process. It prints what each side needed, and
//
//	ratio qos-packet-100 VALUE        CPU time of a small packet among 100 attachments beside one among 10 (goal: at most 1.1)
//	ratio qos-packet-1000 VALUE       the same among 1,000
//	ratio qos-throughput-1000 VALUE   TCP among 1,000 attachments beside 10 (goal: at least 0.9)
//	ratio qos-packet VALUE            a packet in a class beside one on a link without any
//	ratio qos-attach VALUE            attach.Attach with a class beside one without (goal: at most 1.5)
//	ratio qos-attach-guarded VALUE    the same with attach.Guard, which no hook waits for: until the pod's containers may start
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	rounds := flag.Int("rounds", 60, "rounds of packets, and a quarter as many of TCP")
	pairs := flag.Int("pairs", 300, "pairs of pods to attach")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, *rounds, *pairs); err != nil {
		fmt.Fprintln(os.Stderr, "bench qos:", err)
		return 1
	}
	return 0
}

// measure removes what it made, also where it fails or is interrupted.
func measure(ctx context.Context, rounds, pairs int) (err error) {
	l, err := newLab()
	defer func() { err = errors.Join(err, l.close()) }()
	if err != nil {
		return err
	}
	if err := classification(ctx, l, rounds); err != nil {
		return fmt.Errorf("classification: %w", err)
	}
	if err := attaching(ctx, l, pairs); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}
