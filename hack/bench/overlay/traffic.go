package main

import (
	"context"
	"fmt"
	"time"

	"github.com/multinet-dev/multinet/hack/bench/overlay/fabric"
	"github.com/multinet-dev/multinet/hack/bench/overlay/traffic"
	"github.com/multinet-dev/multinet/hack/measure"
)

const (
	streamBytes = 128 << 20
	packetCount = 40000
)

// throughput compares TCP from one node's pod to the other's.
func throughput(ctx context.Context, rounds int, ours, hand fabric.Pair) error {
	var sides [2]measure.Side
	for i, pair := range []fabric.Pair{ours, hand} {
		stream, err := traffic.OpenStream(pair[0].Pod.Namespace, pair[1].Pod.Namespace, pair[1].Pod.Addresses[0].Addr())
		if err != nil {
			return err
		}
		defer stream.Close()
		sides[i] = func() (time.Duration, error) { return stream.Send(streamBytes) }
	}
	a, b, err := measure.Alternate(ctx, rounds, sides[0], sides[1])
	if err != nil {
		return err
	}
	fmt.Printf("TCP, %d rounds of %d MiB from a pod on one node to a pod on the other\n", rounds, streamBytes>>20)
	printRates("Multinet's overlay", a)
	printRates("the same devices by hand", b)
	ratio("overlay-throughput", b, a)
	return nil
}

func printRates(name string, d measure.Durations) {
	rate := func(d time.Duration) float64 { return streamBytes * 8 / d.Seconds() / 1e9 }
	fmt.Printf("%-32s best %6.2f Gbit/s   median %6.2f Gbit/s\n", name, rate(d.Quantile(0)), rate(d.Median()))
}

// packets compares what a small packet costs.
func packets(ctx context.Context, rounds int, ours, bridged fabric.Pair) error {
	var sides [2]measure.Side
	for i, pair := range []fabric.Pair{ours, bridged} {
		p, err := traffic.OpenPackets(pair[0].Pod.Namespace, pair[1].Pod.Namespace, fabric.PodInterface, pair[1].Pod.Addresses[0].Addr())
		if err != nil {
			return err
		}
		defer p.Close()
		sides[i] = func() (time.Duration, error) { return p.Send(packetCount) }
	}
	a, b, err := measure.Alternate(ctx, rounds, sides[0], sides[1])
	if err != nil {
		return err
	}
	fmt.Printf("UDP, %d rounds of %d small packets from a pod on one node to a pod on the other\n", rounds, packetCount)
	printCosts("Multinet's overlay", a)
	printCosts("bridge, veth and VXLAN by hand", b)
	ratio("overlay-packet", a, b)
	return nil
}

func printCosts(name string, d measure.Durations) {
	fmt.Printf("%-32s least %6d ns     median %6d ns\n", name, d.Quantile(0).Nanoseconds(), d.Median().Nanoseconds())
}
