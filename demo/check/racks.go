package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Racks is a pair of pods in each rack, on different nodes of it, that select the same rack-local networks.
type Racks struct {
	Example
	// Racks are the pods' names by rack.
	Racks map[string][2]string
	// Networks are those that every pod is on.
	Networks []string
}

// Run returns the first thing that is not as it should be.
func (r Racks) Run(ctx context.Context) error {
	for _, rack := range r.names() {
		pods := r.Racks[rack]
		if err := r.waitReady(ctx, pods[:]...); err != nil {
			return err
		}
	}
	if err := r.show(ctx, "Networks", "get", "networks.multinet.dev"); err != nil {
		return err
	}
	if err := r.showAttachments(ctx); err != nil {
		return err
	}
	for _, network := range r.Networks {
		if err := r.network(ctx, network); err != nil {
			return fmt.Errorf("network %s: %w", network, err)
		}
	}
	return nil
}

func (r Racks) names() []string { return slices.Sorted(maps.Keys(r.Racks)) }

// network checks one of the networks in all racks.
func (r Racks) network(ctx context.Context, network string) error {
	prefixes, err := r.prefixes(ctx, network)
	if err != nil {
		return err
	}
	var first []end
	for _, rack := range r.names() {
		left, right, err := r.ends(ctx, r.Racks[rack], network)
		if err != nil {
			return err
		}
		if err := errors.Join(inRack(rack, prefixes[rack], left), inRack(rack, prefixes[rack], right), r.reach(ctx, left, right)); err != nil {
			return err
		}
		first = append(first, left)
	}
	for _, from := range first {
		for _, to := range first {
			if err := r.noReach(ctx, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// prefixes are those that the Network's status names, by rack. Those of two racks may not overlap.
func (r Racks) prefixes(ctx context.Context, network string) (map[string][]netip.Prefix, error) {
	var object v1alpha1.Network
	if err := r.Cluster.Get(ctx, client.ObjectKey{Name: network}, &object); err != nil {
		return nil, err
	}
	byRack := map[string][]netip.Prefix{}
	var all []netip.Prefix
	for _, rack := range object.Status.Racks {
		for _, text := range rack.Prefixes {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("rack %s: %w", rack.Name, err)
			}
			if i := slices.IndexFunc(all, prefix.Overlaps); i >= 0 {
				return nil, fmt.Errorf("prefix %s of rack %s overlaps %s", prefix, rack.Name, all[i])
			}
			byRack[rack.Name], all = append(byRack[rack.Name], prefix), append(all, prefix)
		}
	}
	return byRack, nil
}

// inRack compares a pod's attachment with the rack that the pod runs in.
func inRack(rack string, prefixes []netip.Prefix, e end) error {
	if at := e.attachment.Spec.RackLocal; at == nil || at.Rack != rack {
		return fmt.Errorf("the attachment of pod %s is not in rack %s: %+v", e.pod.Name, rack, at)
	}
	var got []netip.Prefix
	for _, a := range e.addresses {
		got = append(got, a.Masked())
	}
	if !slices.Equal(got, prefixes) {
		return fmt.Errorf("pod %s has addresses %v, the prefixes of rack %s are %v", e.pod.Name, e.addresses, rack, prefixes)
	}
	return nil
}

// reach pings the other pod of the rack, once per family.
func (r Racks) reach(ctx context.Context, from, to end) error {
	for _, a := range to.addresses {
		summary, err := r.ping(ctx, from, string(from.attachment.Spec.Interface), a.Addr())
		if err != nil {
			return err
		}
		r.say("%s -> %s (%s) over %s: %s", from.pod.Name, to.pod.Name, a.Addr(), from.attachment.Spec.NetworkName, summary)
	}
	return nil
}

// noReach pings a pod of another rack, once per family. Without a route to its prefix, -I makes IPv4 look for it on the
// segment itself; IPv6 has no way to try.
func (r Racks) noReach(ctx context.Context, from, to end) error {
	if from.attachment.Spec.RackLocal.Rack == to.attachment.Spec.RackLocal.Rack {
		return nil
	}
	for _, a := range to.addresses {
		out, err := r.Cluster.InPod(ctx, &from.pod, "ping", "-I", string(from.attachment.Spec.Interface), "-c", "2", "-i", "0.2", "-W", "1", a.Addr().String())
		switch {
		case err == nil:
			return fmt.Errorf("pod %s reaches pod %s of another rack at %s: %s", from.pod.Name, to.pod.Name, a.Addr(), out)
		case strings.Contains(err.Error(), "100% packet loss"), strings.Contains(err.Error(), "Network is unreachable"):
			r.say("%s -> %s (%s) over %s: not reachable, as it is in another rack", from.pod.Name, to.pod.Name, a.Addr(), from.attachment.Spec.NetworkName)
		default:
			return err
		}
	}
	return nil
}
