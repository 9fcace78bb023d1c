package plumb

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// ErrNoVLANSupport tells that the kernel of the node lacks 802.1Q.
var ErrNoVLANSupport = errors.New("the node's kernel has no 802.1Q VLAN support: load the module 8021q or choose a Network without spec.macvlan.vlan")

const maxInterfaceName = unix.IFNAMSIZ - 1

// VLANName is the name of our link for a VLAN on an uplink: "eth1.100", or a digest where that is too long.
func VLANName(uplink string, id int) string {
	name := fmt.Sprintf("%s.%d", uplink, id)
	if len(name) <= maxInterfaceName {
		return name
	}
	digest := sha256.Sum256([]byte(uplink))
	return fmt.Sprintf("mn%x.%d", digest[:4], id)
}

// EnsureVLAN makes the link for a VLAN exist on an uplink, up. An existing link of the name is
// used as it is where it is that VLAN of that uplink, whoever made it. The links of all pods of a Network share it.
func EnsureVLAN(node *kernel.Namespace, uplink string, id int) (Uplink, error) {
	parent, err := FindUplink(node, uplink)
	if err != nil {
		return Uplink{}, fmt.Errorf("uplink %s: %w", uplink, err)
	}
	name := VLANName(uplink, id)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Group = name, parent.Index, plan.LinkGroup
	err = node.Handle().LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return Uplink{}, ErrNoVLANSupport
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return Uplink{}, fmt.Errorf("create VLAN link %s: %w", name, err)
	}
	found, err := node.Handle().LinkByName(name)
	if err != nil {
		return Uplink{}, fmt.Errorf("look up VLAN link %s: %w", name, err)
	}
	vlan, ok := found.(*netlink.Vlan)
	if !ok || vlan.VlanId != id || vlan.ParentIndex != parent.Index {
		return Uplink{}, fmt.Errorf("the node's interface %s exists, but is not VLAN %d of %s", name, id, uplink)
	}
	if err := SetUp(node, vlan.Index); err != nil {
		return Uplink{}, fmt.Errorf("bring VLAN link %s up: %w", name, err)
	}
	return Uplink{Index: vlan.Index, MTU: vlan.MTU}, nil
}

// VLANLink is a link of ours for a VLAN.
type VLANLink struct {
	// VLAN has the uplink's present name, empty where the link is on an interface of another namespace.
	plan.VLAN
	Index int
	Name  string
}

// VLANLinks lists our links for VLANs; those of others do not carry our mark. With RemoveLink the kernel removes all
// pods' links on one as well, and cannot tell whether there are any: the caller knows from its plans that none is left.
func VLANLinks(node *kernel.Namespace) ([]VLANLink, error) {
	all, err := kernel.Dump(node.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := make(map[int]string, len(all))
	for _, link := range all {
		names[link.Attrs().Index] = link.Attrs().Name
	}
	var ours []VLANLink
	for _, link := range all {
		if vlan, ok := link.(*netlink.Vlan); ok && vlan.Group == plan.LinkGroup {
			segment := plan.VLAN{Uplink: names[vlan.ParentIndex], ID: vlan.VlanId}
			ours = append(ours, VLANLink{VLAN: segment, Index: vlan.Index, Name: vlan.Name})
		}
	}
	return ours, nil
}
