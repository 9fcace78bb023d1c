// Package check shows that the example of demo/storage works: that both pods have their attachments, that they reach
// each other over the network, by both families and through the uplink, and that the pod network is as it was.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// Check is a pair of pods that select the same network with one interface each, on different nodes.
type Check struct {
	Cluster   *cluster.Cluster
	Namespace string
	// Pods are the names of the two.
	Pods [2]string
	// Uplink is the NIC that carries the network on every node.
	Uplink string
	// Out takes what a person wants to see.
	Out io.Writer
	// Patience is how long the pods may take to be Ready.
	Patience time.Duration
}

// end is one of the two pods with its attachment.
type end struct {
	pod        corev1.Pod
	attachment v1alpha1.PodNetworkAttachment
	addresses  []netip.Prefix
}

// Run returns the first thing that is not as it should be.
func (c Check) Run(ctx context.Context) error {
	if err := c.waitReady(ctx); err != nil {
		return err
	}
	left, err := c.end(ctx, c.Pods[0])
	if err != nil {
		return err
	}
	right, err := c.end(ctx, c.Pods[1])
	if err != nil {
		return err
	}
	if left.pod.Spec.NodeName == right.pod.Spec.NodeName {
		return fmt.Errorf("pods %s and %s run on one node, %s: nothing would cross the fabric", left.pod.Name, right.pod.Name, left.pod.Spec.NodeName)
	}
	if err := c.show(ctx); err != nil {
		return err
	}
	return errors.Join(
		c.traffic(ctx, left, right),
		c.podNetwork(ctx, left, right),
		c.visible(ctx, left),
		c.visible(ctx, right))
}

func (c Check) waitReady(ctx context.Context) error {
	for _, name := range c.Pods {
		err := cluster.Until(ctx, c.Patience, "pod "+name+" to be Ready", func(ctx context.Context) error {
			var pod corev1.Pod
			if err := c.Cluster.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, &pod); err != nil {
				return err
			}
			return cluster.PodReady(&pod)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// end gathers what the API says about one pod.
func (c Check) end(ctx context.Context, name string) (end, error) {
	var e end
	if err := c.Cluster.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, &e.pod); err != nil {
		return e, fmt.Errorf("reading pod %s: %w", name, err)
	}
	var list v1alpha1.PodNetworkAttachmentList
	if err := c.Cluster.List(ctx, &list, client.InNamespace(c.Namespace), client.MatchingFields{"spec.pod.name": name}); err != nil {
		return e, fmt.Errorf("listing the attachments of pod %s: %w", name, err)
	}
	if len(list.Items) != 1 {
		return e, fmt.Errorf("pod %s has %d attachments instead of one", name, len(list.Items))
	}
	e.attachment = list.Items[0]
	for _, a := range e.attachment.Spec.Addresses {
		prefix, err := netip.ParsePrefix(a.Address)
		if err != nil {
			return e, fmt.Errorf("attachment %s: address %q: %w", e.attachment.Name, a.Address, err)
		}
		e.addresses = append(e.addresses, prefix)
	}
	return e, nil
}

// show prints the attachments as a user sees them.
func (c Check) show(ctx context.Context) error {
	table, err := c.Cluster.Kubectl(ctx, nil, "get", "podnetworkattachments", "--namespace", c.Namespace, "--output", "wide")
	if err != nil {
		return err
	}
	c.say("Attachments (kubectl -n %s get podnetworkattachments -o wide):\n%s", c.Namespace, indent(table))
	return nil
}

func (c Check) say(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
