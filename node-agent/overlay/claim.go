package overlay

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// claim is what one attachment of the rack says: that a MAC and its addresses are on a node.
type claim struct {
	name     types.NamespacedName
	uid      types.UID
	created  time.Time
	deleting bool
	mac      plumb.MAC
	addrs    []netip.Addr
	// via is the address of its node, invalid for a pod of this node.
	via netip.Addr
}

// claimOf reads an attachment as the node called self sees it. It returns nil for one that is of no interest to the overlay,
// and where something cannot be used an error with what is left, or nil.
func claimOf(pna *v1alpha1.PodNetworkAttachment, self string, o plan.Overlay) (*claim, error) {
	rack := pna.Spec.RackLocal
	if rack == nil || rack.Overlay == nil || int(rack.Overlay.VNI) != o.VNI || int(rack.Overlay.Port) != o.Port {
		return nil, nil // of a former Network of the same name
	}
	c := &claim{
		name: types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name}, uid: pna.UID,
		created: pna.CreationTimestamp.Time, deleting: pna.DeletionTimestamp != nil,
	}
	if err := c.readMAC(pna.Spec.MAC); err != nil {
		return nil, err
	}
	if pna.Spec.NodeName != self {
		if err := c.readNode(rack.Overlay.NodeAddress, o.Local); err != nil {
			return nil, err
		}
	}
	return c, c.readAddresses(pna.Spec.Addresses)
}

func (c *claim) readMAC(text string) error {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != len(c.mac) || mac[0]&1 != 0 || plumb.MAC(mac) == (plumb.MAC{}) {
		return fmt.Errorf("spec.mac %q is no MAC of an interface", text)
	}
	c.mac = plumb.MAC(mac)
	return nil
}

func (c *claim) readNode(text string, local netip.Addr) error {
	via, err := netip.ParseAddr(text)
	switch {
	case err != nil || !isHost(via):
		return fmt.Errorf("spec.rackLocal.overlay.nodeAddress %q is no unicast address", text)
	case via == local:
		return fmt.Errorf("spec.rackLocal.overlay.nodeAddress %s is that of this node, but spec.nodeName is another", via)
	case via.Is4() != local.Is4():
		return fmt.Errorf("spec.rackLocal.overlay.nodeAddress %s is of another IP family than this node's %s", via, local)
	}
	c.via = via
	return nil
}

// readAddresses leaves out those that are none.
func (c *claim) readAddresses(list []v1alpha1.AttachmentAddress) error {
	var failed []error
	for i, entry := range list {
		prefix, err := netip.ParsePrefix(entry.Address)
		if err != nil || !isHost(prefix.Addr()) {
			failed = append(failed, fmt.Errorf("spec.addresses[%d].address %q is no unicast address", i, entry.Address))
			continue
		}
		c.addrs = append(c.addrs, prefix.Addr())
	}
	return errors.Join(failed...)
}

func isHost(addr netip.Addr) bool {
	return addr.Zone() == "" && !addr.Is4In6() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLoopback() &&
		addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (c *claim) local() bool { return !c.via.IsValid() }

// says tells whether two claims come to the same.
func (c *claim) says(other *claim) bool {
	return c.uid == other.uid && c.created.Equal(other.created) && c.deleting == other.deleting &&
		c.mac == other.mac && c.via == other.via && slices.Equal(c.addrs, other.addrs)
}

// subject is what an entry is about: a MAC, or an address if that is valid. A link has at most one entry of ours for it.
type subject struct {
	mac  plumb.MAC
	addr netip.Addr
}

func subjectOf(e plumb.Entry) subject {
	if e.Via.IsValid() {
		return subject{mac: e.MAC}
	}
	return subject{addr: e.Addr}
}

func (c *claim) subjects() []subject {
	list := make([]subject, 0, 1+len(c.addrs))
	list = append(list, subject{mac: c.mac})
	for _, addr := range c.addrs {
		list = append(list, subject{addr: addr})
	}
	return list
}

// entry is what the link has to know of one of the claim's subjects.
func (c *claim) entry(s subject) plumb.Entry {
	if s.addr.IsValid() {
		return plumb.Entry{MAC: c.mac, Addr: s.addr}
	}
	return plumb.Entry{MAC: c.mac, Via: c.via}
}

// better orders claims to one MAC or address, of which there are several while a pod is replaced: the living one before one
// that is being deleted, then the newer. The name decides between two of the same second, so that all nodes see the same.
func better(a, b *claim) int {
	if a.deleting != b.deleting {
		if b.deleting {
			return -1
		}
		return 1
	}
	return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.name.String(), b.name.String()))
}
