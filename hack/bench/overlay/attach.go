package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/multinet-dev/multinet/hack/bench/overlay/fabric"
	"github.com/multinet-dev/multinet/hack/measure"
)

// attaching compares what gives a new pod its interface on an overlay that is there already.
func attaching(ctx context.Context, pairs int, lab *fabric.Lab, ours, hand fabric.Pair) error {
	count := 0
	timed := func(node *fabric.Node, give func(*fabric.Node, string, net.HardwareAddr) error) measure.Side {
		return func() (time.Duration, error) {
			count++
			mac := net.HardwareAddr{2, 0, 8, byte(count >> 16), byte(count >> 8), byte(count)}
			pod, err := lab.NewPod()
			if err != nil {
				return 0, err
			}
			start := time.Now()
			err = give(node, pod, mac)
			return time.Since(start), err
		}
	}
	a, b, err := measure.Alternate(ctx, pairs, timed(ours[0], fabric.Attach), timed(hand[0], fabric.AttachByHand))
	if err != nil {
		return err
	}
	fmt.Printf("attach, %d pairs of new pods, one interface with two addresses on an overlay that exists\n", pairs)
	fmt.Printf("%-32s %s\n", "attach.Attach", a)
	fmt.Printf("%-32s %s\n", "netlink by hand", b)
	ratio("overlay-attach", a, b)
	return nil
}
