// Package plumb creates and removes kernel objects for attachments, one file per kind. Every Ensure leaves what is
// right, replaces what is ours and wrong, and reports whether it created something; every Remove succeeds where the
// object is absent already. What belongs to others is never changed.
package plumb

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var (
	// ErrUplinkMissing tells that the node has no interface of the uplink's name.
	ErrUplinkMissing = errors.New("the node has no such interface")
	// ErrNameTaken tells that the pod has a link of the name already that is not ours.
	ErrNameTaken = errors.New("the pod already has an interface of this name that is not Multinet's")
	// ErrNameOnNode tells of kernels before 6.14, which look for the name of a new link in the namespace of the caller.
	ErrNameOnNode = errors.New("the node has an interface of this name, and its kernel (before 6.14) then refuses it in a pod")
)

// Link is what the kernel says of one interface.
type Link struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	MTU   int
	Up    bool
	// Ours tells that the link carries our mark.
	Ours bool
	// Parent is the index of the uplink in the node's namespace, 0 where there is none.
	Parent int
	// Mode is the macvlan mode, empty for links of other kinds.
	Mode string
	// PCIAddress is set for links of hardware, such as VFs. OurVF tells that the link is a VF that carries our mark.
	PCIAddress string
	OurVF      bool
	// NIC is the name that the link had on the node, where it is a NIC that carries our mark.
	NIC string
}

// FindLink returns the link of a name, and false where there is none.
func FindLink(ns *kernel.Namespace, name string) (Link, bool, error) {
	found, err := ns.Handle().LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("look up %s: %w", name, err)
	}
	return newLink(found), true, nil
}

// foundLink is FindLink for a link that must be there.
func foundLink(ns *kernel.Namespace, name string) (Link, error) {
	link, found, err := FindLink(ns, name)
	if err == nil && !found {
		err = fmt.Errorf("%s vanished from the pod as soon as it was created", name)
	}
	return link, err
}

// Links lists all links of a namespace.
func Links(ns *kernel.Namespace) ([]Link, error) {
	found, err := kernel.Dump(ns.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make([]Link, 0, len(found))
	for _, link := range found {
		links = append(links, newLink(link))
	}
	return links, nil
}

func newLink(found netlink.Link) Link {
	attrs := found.Attrs()
	link := Link{
		Index:  attrs.Index,
		Name:   attrs.Name,
		MAC:    attrs.HardwareAddr,
		MTU:    attrs.MTU,
		Up:     attrs.Flags&net.FlagUp != 0,
		Ours:   attrs.Group == plan.LinkGroup,
		Parent: attrs.ParentIndex,
	}
	if macvlan, ok := found.(*netlink.Macvlan); ok {
		link.Mode = modeNames[macvlan.Mode]
	}
	link.NIC, _ = plan.MarkedNIC(attrs.Alias)
	if attrs.ParentDevBus == "pci" {
		link.PCIAddress, link.OurVF = attrs.ParentDev, attrs.Alias == vfMark
	}
	return link
}

// Uplink is what a macvlan is put on: a NIC of the node, or a VLAN on it.
type Uplink struct {
	Index int
	MTU   int
}

// FindUplink returns an uplink by name. The error is ErrUplinkMissing or one of the kernel.
func FindUplink(node *kernel.Namespace, name string) (Uplink, error) {
	index, mtu, err := node.Interface(name)
	if errors.Is(err, unix.ENODEV) {
		return Uplink{}, ErrUplinkMissing
	}
	return Uplink{Index: index, MTU: mtu}, err
}

// SetUp brings a link up. The error is EADDRINUSE where the MAC is in use on the same uplink, whatever namespace
// the other link is in.
func SetUp(ns *kernel.Namespace, index int) error {
	return ns.Execute(setUp(index))
}

func setUp(index int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index, message.Change, message.Flags = int32(index), unix.IFF_UP, unix.IFF_UP
	request.AddData(message)
	return request
}

// RemoveLink removes a link by its index. It costs some 16 ms, in which the kernel waits for readers.
func RemoveLink(ns *kernel.Namespace, index int) error {
	err := ns.Handle().LinkDel(byIndex(index))
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// RemoveMarkedLinks removes all links that carry our mark in one request: four cost little more than one. It runs inside
// kernel.Namespace.Do or kernel.Inside of the pod's namespace, since the library has no deletion by group and its
// handle takes no request of ours: this one opens a socket of its own.
func RemoveMarkedLinks() error {
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(plan.LinkGroup)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
