//go:build e2e

package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// The node that runs no pod of this test plays another machine: it has the first two addresses of the range on its own
// NIC. The pod gets the third; the two are set aside with the machine's MAC; a pod that ran before keeps its address.
func TestAddressesOfAnotherMachineAreSetAside(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	spec := networkSpec("eth1")
	spec.IPAM.Ranges = spec.IPAM.Ranges[:1]
	network := s.network("contested", spec)
	s.create("before", nodeB, "contested")
	s.waitReady(time.Minute, "before")
	kept := s.attachments("before")["net1"]
	prefix := netip.MustParsePrefix(kept.Spec.Addresses[0].Address)
	first := prefix.Addr().Next()
	foreign := []netip.Addr{first, first.Next()}
	for _, a := range foreign {
		s.ownedBy(nodeA, netip.PrefixFrom(a, prefix.Bits()))
	}

	s.create("after", nodeB, "contested")
	for _, a := range foreign {
		if text := s.waitEventWith("after", v1alpha1.ReasonDuplicateAddress, a.String()); !strings.Contains(text, "contested") {
			t.Errorf("the event does not name the network: %s", text)
		}
	}
	s.waitReady(2*time.Minute, "after")
	if got, want := s.attachments("after")["net1"].Spec.Addresses[0].Address, netip.PrefixFrom(foreign[1].Next(), prefix.Bits()).String(); got != want {
		t.Errorf("the pod has %s, want %s", got, want)
	}
	s.must(s.Get(s.ctx, client.ObjectKeyFromObject(network), network))
	for i, aside := range network.Status.SetAside {
		if i >= len(foreign) || aside.Address != foreign[i].String() || aside.MAC == "" {
			t.Errorf("set aside is %+v, want %v", aside, foreign)
		}
	}
	if len(network.Status.SetAside) != len(foreign) {
		t.Errorf("set aside are %v, want %v", network.Status.SetAside, foreign)
	}
	if now := s.attachments("before")["net1"]; now.UID != kept.UID || !now.DeletionTimestamp.IsZero() {
		t.Errorf("the attachment of a running pod was touched: %v", now.ObjectMeta)
	}
}

// ownedBy gives an address to a node's own NIC until the test is over.
func (s *scene) ownedBy(node string, address netip.Prefix) {
	s.t.Helper()
	_, err := s.OnNode(s.ctx, node, "ip", "address", "add", address.String(), "dev", "eth1", "noprefixroute")
	s.must(err)
	s.t.Cleanup(func() {
		if out, err := s.OnNode(s.ctx, node, "ip", "address", "del", address.String(), "dev", "eth1"); err != nil {
			s.t.Errorf("taking %s from node %s: %v: %s", address, node, err, out)
		}
	})
}
