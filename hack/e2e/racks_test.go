//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// overlaySpec is a dual stack overlay in each of up to four racks of up to 62 pods, in subnets that no other test uses.
func overlaySpec() v1alpha1.NetworkSpec {
	n := subnets.Add(1)
	return v1alpha1.NetworkSpec{
		Type: v1alpha1.NetworkTypeRackLocal,
		RackLocal: &v1alpha1.RackLocalSpec{
			Overlay:      &v1alpha1.RackOverlaySpec{},
			PrefixLength: &v1alpha1.RackPrefixLength{IPv4: ptr.To[int32](26), IPv6: ptr.To[int32](64)},
		},
		IPAM: &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{
			{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 61, byte(n), 0}), 24).String()},
			{CIDR: fmt.Sprintf("fd00:61:%x::/62", n)},
		}},
	}
}

// rackUplinkSpec is the same on the NIC that is wired to the rack's switch.
func rackUplinkSpec() v1alpha1.NetworkSpec {
	spec := overlaySpec()
	spec.RackLocal.Overlay = nil
	spec.RackLocal.Uplink = &v1alpha1.RackUplinkSpec{UplinkSelector: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth2"}}}
	return spec
}

// relabel changes a node's label until the test is over.
func (s *scene) relabel(node, key, value, restore string) {
	s.t.Helper()
	s.label(node, key, value)
	s.t.Cleanup(func() { s.label(node, key, restore) })
}

// rack is one of a Network's racks, nil where it has none of the name.
func rack(network *v1alpha1.Network, name string) *v1alpha1.RackStatus {
	for i := range network.Status.Racks {
		if network.Status.Racks[i].Name == name {
			return &network.Status.Racks[i]
		}
	}
	return nil
}

// waitRack waits until the rack is as accept wants it. A rack that the Network does not have is nil.
func (s *scene) waitRack(network, name, what string, accept func(*v1alpha1.RackStatus) bool) v1alpha1.RackStatus {
	s.t.Helper()
	var found v1alpha1.RackStatus
	s.until(time.Minute, fmt.Sprintf("rack %s of Network %s to %s", name, network, what), func(ctx context.Context) error {
		var object v1alpha1.Network
		if err := s.Get(ctx, client.ObjectKey{Name: network}, &object); err != nil {
			return err
		}
		r := rack(&object, name)
		if !accept(r) {
			return fmt.Errorf("the racks are %+v", object.Status.Racks)
		}
		if r != nil {
			found = *r
		}
		return nil
	})
	return found
}

func inUse(r *v1alpha1.RackStatus) bool {
	return r != nil && len(r.Prefixes) == 2 && r.EmptySince == nil
}
func empty(r *v1alpha1.RackStatus) bool  { return r != nil && r.EmptySince != nil }
func absent(r *v1alpha1.RackStatus) bool { return r == nil }

// inRack fails the test if the pod's first attachment is not in the rack, or has addresses of another's prefixes.
func (s *scene) inRack(pod string, r v1alpha1.RackStatus) {
	s.t.Helper()
	a := s.attachments(pod)["net1"]
	if a.Spec.RackLocal == nil || a.Spec.RackLocal.Rack != r.Name {
		s.t.Errorf("the attachment of pod %s is in rack %+v instead of %s", pod, a.Spec.RackLocal, r.Name)
	}
	for i, address := range a.Spec.Addresses {
		if got := netip.MustParsePrefix(address.Address).Masked().String(); got != r.Prefixes[i] {
			s.t.Errorf("pod %s has address %s, rack %s has %v", pod, address.Address, r.Name, r.Prefixes)
		}
	}
}

// addressesOf are those of the pod's interface net1.
func (s *scene) addressesOf(pod string) []netip.Addr { return s.addressesOn("net1", pod) }

func (s *scene) addressesOn(device, pod string) []netip.Addr {
	s.t.Helper()
	var all []netip.Addr
	for _, a := range s.attachments(pod)[device].Spec.Addresses {
		all = append(all, netip.MustParsePrefix(a.Address).Addr())
	}
	if len(all) == 0 {
		s.t.Fatalf("pod %s has no addresses", pod)
	}
	return all
}

// reaches waits until the pod's pings to all addresses of the other are answered, over net1.
func (s *scene) reaches(from, to string) {
	s.t.Helper()
	s.reachesOver("net1", from, to)
}

// reachesOver is reaches between interfaces of another name.
func (s *scene) reachesOver(device, from, to string) {
	s.t.Helper()
	for _, address := range s.addressesOn(device, to) {
		s.until(time.Minute, fmt.Sprintf("pod %s to reach %s (%s) over %s", from, to, address, device), func(ctx context.Context) error {
			_, err := s.pingOver(ctx, device, from, address)
			return err
		})
	}
}

// reachesNot fails the test if the pod's pings to an address of the other are answered.
func (s *scene) reachesNot(from, to string) {
	s.t.Helper()
	for _, address := range s.addressesOf(to) {
		out, err := s.pingFrom(s.ctx, from, address)
		if err == nil {
			s.t.Errorf("pod %s reaches %s at %s: %s", from, to, address, out)
		} else if !errors.Is(err, errUnanswered) {
			s.t.Errorf("ping from pod %s to %s: %v", from, address, err)
		}
	}
}

var errUnanswered = errors.New("no answer")

// pingFrom pings over net1.
func (s *scene) pingFrom(ctx context.Context, from string, address netip.Addr) (string, error) {
	return s.pingOver(ctx, "net1", from, address)
}

func (s *scene) pingOver(ctx context.Context, device, from string, address netip.Addr) (string, error) {
	pod, err := s.get(ctx, from)
	if err != nil {
		return "", err
	}
	out, err := s.InPod(ctx, pod, "ping", "-I", device, "-c", "2", "-i", "0.2", "-W", "1", address.String())
	if err != nil && (strings.Contains(err.Error(), "100% packet loss") || strings.Contains(err.Error(), "Network is unreachable")) {
		return "", errUnanswered
	}
	return out, err
}
