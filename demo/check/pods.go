package check

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// What one ping run sends. The size makes the packets stand out from the fabric's own chatter in byte counters.
const (
	pings    = 5
	pingSize = 1200
)

// end is a pod with its attachment to one network.
type end struct {
	pod        corev1.Pod
	attachment v1alpha1.PodNetworkAttachment
	addresses  []netip.Prefix
}

func (e Example) waitReady(ctx context.Context, pods ...string) error {
	for _, name := range pods {
		err := cluster.Until(ctx, e.Patience, "pod "+name+" to be Ready", func(ctx context.Context) error {
			var pod corev1.Pod
			if err := e.Cluster.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: name}, &pod); err != nil {
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

// end gathers what the API says about one pod on one network.
func (e Example) end(ctx context.Context, pod, network string) (end, error) {
	var found end
	if err := e.Cluster.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: pod}, &found.pod); err != nil {
		return found, fmt.Errorf("reading pod %s: %w", pod, err)
	}
	var list v1alpha1.PodNetworkAttachmentList
	err := e.Cluster.List(ctx, &list, client.InNamespace(e.Namespace), client.MatchingFields{"spec.pod.name": pod, "spec.networkName": network})
	if err != nil {
		return found, fmt.Errorf("listing the attachments of pod %s: %w", pod, err)
	}
	if len(list.Items) != 1 {
		return found, fmt.Errorf("pod %s has %d attachments to network %s instead of one", pod, len(list.Items), network)
	}
	found.attachment = list.Items[0]
	for _, a := range found.attachment.Spec.Addresses {
		prefix, err := netip.ParsePrefix(a.Address)
		if err != nil {
			return found, fmt.Errorf("attachment %s: address %q: %w", found.attachment.Name, a.Address, err)
		}
		found.addresses = append(found.addresses, prefix)
	}
	if len(found.addresses) == 0 {
		return found, fmt.Errorf("attachment %s has no addresses", found.attachment.Name)
	}
	return found, nil
}

// ends are the two pods of a pair. On one node nothing would show that they reach each other over a wire.
func (e Example) ends(ctx context.Context, pods [2]string, network string) (left, right end, err error) {
	if left, err = e.end(ctx, pods[0], network); err != nil {
		return left, right, err
	}
	if right, err = e.end(ctx, pods[1], network); err != nil {
		return left, right, err
	}
	if left.pod.Spec.NodeName == right.pod.Spec.NodeName {
		err = fmt.Errorf("pods %s and %s run on one node, %s: nothing would cross the fabric", pods[0], pods[1], left.pod.Spec.NodeName)
	}
	return left, right, err
}

// ping returns ping's own summary; a lost packet is an error.
func (e Example) ping(ctx context.Context, from end, device string, address netip.Addr) (string, error) {
	out, err := e.Cluster.InPod(ctx, &from.pod, "ping", "-I", device, "-c", strconv.Itoa(pings), "-i", "0.2", "-W", "2",
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

// show prints objects as a user sees them.
func (e Example) show(ctx context.Context, title string, args ...string) error {
	table, err := e.Cluster.Kubectl(ctx, nil, args...)
	if err != nil {
		return err
	}
	e.say("%s (kubectl %s):\n%s", title, strings.Join(args, " "), indent(table))
	return nil
}

func (e Example) showAttachments(ctx context.Context) error {
	return e.show(ctx, "Attachments", "get", "podnetworkattachments", "--namespace", e.Namespace, "--output", "wide")
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
