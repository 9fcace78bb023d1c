// Package check shows that the examples below demo work: that pods have their attachments, that they reach each other
// over their networks by both families and nobody else, and that the pod network is as it was.
package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Pair is two pods that select the same network with one interface each, on different nodes.
type Pair struct {
	Example
	// Pods are the names of the two.
	Pods [2]string
	// Network is the one, Uplink the NIC that carries it on every node.
	Network, Uplink string
}

// Run returns the first thing that is not as it should be.
func (p Pair) Run(ctx context.Context) error {
	if err := p.waitReady(ctx, p.Pods[:]...); err != nil {
		return err
	}
	left, right, err := p.ends(ctx, p.Pods, p.Network)
	if err != nil {
		return err
	}
	if err := p.showAttachments(ctx); err != nil {
		return err
	}
	return errors.Join(
		p.traffic(ctx, left, right),
		p.podNetwork(ctx, left, right),
		p.visible(ctx, left),
		p.visible(ctx, right))
}

// traffic pings the peer over the network's interface, once per family, and compares the uplinks' counters.
func (p Pair) traffic(ctx context.Context, from, to end) error {
	for _, prefix := range to.addresses {
		if err := p.overUplink(ctx, from, to, prefix.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// overUplink proves that the pings left the sender's node by the uplink and entered the receiver's by it.
func (p Pair) overUplink(ctx context.Context, from, to end, address netip.Addr) error {
	device := string(from.attachment.Spec.Interface)
	sent, err := p.counter(ctx, from.pod.Spec.NodeName, "tx_bytes")
	if err != nil {
		return err
	}
	received, err := p.counter(ctx, to.pod.Spec.NodeName, "rx_bytes")
	if err != nil {
		return err
	}
	summary, err := p.ping(ctx, from, device, address)
	if err != nil {
		return err
	}
	sentAfter, err := p.counter(ctx, from.pod.Spec.NodeName, "tx_bytes")
	if err != nil {
		return err
	}
	receivedAfter, err := p.counter(ctx, to.pod.Spec.NodeName, "rx_bytes")
	if err != nil {
		return err
	}
	p.say("%s -> %s over %s: %s\n  bytes through %s: %d out of %s, %d into %s (%d pings of %d bytes)", from.pod.Name, address, device, summary,
		p.Uplink, sentAfter-sent, from.pod.Spec.NodeName, receivedAfter-received, to.pod.Spec.NodeName, pings, pingSize)
	if sentAfter-sent < pings*pingSize || receivedAfter-received < pings*pingSize {
		return fmt.Errorf("the pings to %s were answered, but did not pass %s of both nodes", address, p.Uplink)
	}
	return nil
}

// counter reads one of the uplink's counters on a node.
func (p Pair) counter(ctx context.Context, node, name string) (int64, error) {
	out, err := p.Cluster.OnNode(ctx, node, "cat", "/sys/class/net/"+p.Uplink+"/statistics/"+name)
	if err != nil {
		return 0, fmt.Errorf("counters of %s: %w", p.Uplink, err)
	}
	value, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counter %s of %s on %s: %w", name, p.Uplink, node, err)
	}
	return value, nil
}

// podNetwork shows that the cluster's own network still works, in the pod and between the pods.
func (p Pair) podNetwork(ctx context.Context, from, to end) error {
	address, err := netip.ParseAddr(to.pod.Status.PodIP)
	if err != nil {
		return fmt.Errorf("pod %s: address on the pod network: %w", to.pod.Name, err)
	}
	summary, err := p.ping(ctx, from, "eth0", address)
	if err != nil {
		return err
	}
	p.say("%s -> %s over eth0, the pod network: %s", from.pod.Name, address, summary)
	return nil
}
