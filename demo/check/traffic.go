package check

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// What one ping run sends. The size makes the packets stand out from the fabric's own chatter in byte counters.
const (
	pings    = 5
	pingSize = 1200
)

// traffic pings the peer over the network's interface, once per family, and compares the uplinks' counters.
func (c Check) traffic(ctx context.Context, from, to end) error {
	if len(to.addresses) == 0 {
		return fmt.Errorf("attachment %s has no addresses", to.attachment.Name)
	}
	for _, prefix := range to.addresses {
		if err := c.overUplink(ctx, from, to, prefix.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// overUplink proves that the pings left the sender's node by the uplink and entered the receiver's by it.
func (c Check) overUplink(ctx context.Context, from, to end, address netip.Addr) error {
	device := string(from.attachment.Spec.Interface)
	sent, err := c.counter(ctx, from.pod.Spec.NodeName, "tx_bytes")
	if err != nil {
		return err
	}
	received, err := c.counter(ctx, to.pod.Spec.NodeName, "rx_bytes")
	if err != nil {
		return err
	}
	summary, err := c.ping(ctx, from, device, address)
	if err != nil {
		return err
	}
	sentAfter, err := c.counter(ctx, from.pod.Spec.NodeName, "tx_bytes")
	if err != nil {
		return err
	}
	receivedAfter, err := c.counter(ctx, to.pod.Spec.NodeName, "rx_bytes")
	if err != nil {
		return err
	}
	c.say("%s -> %s over %s: %s\n  bytes through %s: %d out of %s, %d into %s (%d pings of %d bytes)", from.pod.Name, address, device, summary,
		c.Uplink, sentAfter-sent, from.pod.Spec.NodeName, receivedAfter-received, to.pod.Spec.NodeName, pings, pingSize)
	if sentAfter-sent < pings*pingSize || receivedAfter-received < pings*pingSize {
		return fmt.Errorf("the pings to %s were answered, but did not pass %s of both nodes", address, c.Uplink)
	}
	return nil
}

// ping returns ping's own summary; a lost packet is an error.
func (c Check) ping(ctx context.Context, from end, device string, address netip.Addr) (string, error) {
	out, err := c.Cluster.InPod(ctx, &from.pod, "ping", "-I", device, "-c", strconv.Itoa(pings), "-i", "0.2", "-W", "2",
		"-s", strconv.Itoa(pingSize), address.String())
	if err != nil {
		return "", fmt.Errorf("ping from pod %s over %s: %w", from.pod.Name, device, err)
	}
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "packet loss") {
			continue
		}
		if !strings.Contains(line, " 0% packet loss") {
			return "", fmt.Errorf("ping from pod %s to %s over %s: %s", from.pod.Name, address, device, strings.TrimSpace(line))
		}
		return strings.TrimSpace(line), nil
	}
	return "", fmt.Errorf("ping from pod %s to %s ended without a summary: %s", from.pod.Name, address, out)
}

// counter reads one of the uplink's counters on a node.
func (c Check) counter(ctx context.Context, node, name string) (int64, error) {
	out, err := c.Cluster.OnNode(ctx, node, "cat", "/sys/class/net/"+c.Uplink+"/statistics/"+name)
	if err != nil {
		return 0, fmt.Errorf("counters of %s: %w", c.Uplink, err)
	}
	value, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counter %s of %s on %s: %w", name, c.Uplink, node, err)
	}
	return value, nil
}

// podNetwork shows that the cluster's own network still works, in the pod and between the pods.
func (c Check) podNetwork(ctx context.Context, from, to end) error {
	address, err := netip.ParseAddr(to.pod.Status.PodIP)
	if err != nil {
		return fmt.Errorf("pod %s: address on the pod network: %w", to.pod.Name, err)
	}
	summary, err := c.ping(ctx, from, "eth0", address)
	if err != nil {
		return err
	}
	c.say("%s -> %s over eth0, the pod network: %s", from.pod.Name, address, summary)
	return nil
}
