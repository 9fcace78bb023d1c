package plumb

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Macvlan is a macvlan link as it should be.
type Macvlan struct {
	Name string
	// Uplink in the node's namespace.
	Uplink Uplink
	// MAC is not used in mode passthru, in which the link has that of the uplink.
	MAC net.HardwareAddr
	// MTU in bytes, 0 for that of the uplink.
	MTU int
	// Mode is bridge, vepa, private or passthru.
	Mode string
	// GSOMaxSize is how much of a TCP stream the link takes at once in bytes, 0 for the kernel's own choice. A link that is there
	// keeps what it has.
	GSOMaxSize int
}

const passthru = "passthru"

var modes = map[string]uint32{
	"bridge":  nl.MACVLAN_MODE_BRIDGE,
	"vepa":    nl.MACVLAN_MODE_VEPA,
	"private": nl.MACVLAN_MODE_PRIVATE,
	passthru:  nl.MACVLAN_MODE_PASSTHRU,
}

var modeNames = map[netlink.MacvlanMode]string{
	netlink.MACVLAN_MODE_BRIDGE:   "bridge",
	netlink.MACVLAN_MODE_VEPA:     "vepa",
	netlink.MACVLAN_MODE_PRIVATE:  "private",
	netlink.MACVLAN_MODE_PASSTHRU: passthru,
}

// EnsureMacvlan makes the link exist in the pod's namespace, down if it is new: its sysctls are written before it
// comes up, so that no router advertisement is ever taken. The error is ErrNameTaken, ErrNameOnNode, or one of the
// kernel.
func EnsureMacvlan(node, pod *kernel.Namespace, want Macvlan) (link Link, created bool, err error) {
	link, err = createMacvlan(node, pod, want, chosenIndex(want.Name))
	if !mayBeThere(err) {
		return link, err == nil, err
	}
	present, found, err := FindLink(pod, want.Name)
	switch {
	case err != nil:
		return Link{}, false, err
	case found && !present.Ours:
		return Link{}, false, ErrNameTaken
	case found && want.Mismatch(present) == "":
		return present, false, nil
	case found:
		// Ours and wrong. Most of it cannot be changed in place, so begin again.
		if err := RemoveLink(pod, present.Index); err != nil {
			return Link{}, false, fmt.Errorf("remove the link that does not match: %w", err)
		}
	}
	// The name is free now, so that only the index can have been taken, by a link of another name.
	link, err = createMacvlan(node, pod, want, 0)
	if errors.Is(err, unix.EEXIST) {
		err = ErrNameOnNode
	}
	return link, err == nil, err
}

// mayBeThere tells whether the name or the index may be taken. Linux 6.12 does not always answer EEXIST: for an index
// EBUSY, and where a link in mode passthru is there EINVAL, since it looks at the uplink before the name.
func mayBeThere(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL)
}

// createMacvlan creates the link where it belongs with all its attributes in one request. A link that is moved
// afterwards costs 16 ms and can meet another of its name on the node. With index 0 the kernel chooses one.
func createMacvlan(node, pod *kernel.Namespace, want Macvlan, index int) (Link, error) {
	mode, ok := modes[want.Mode]
	if !ok {
		return Link{}, fmt.Errorf("%q is not a macvlan mode", want.Mode)
	}
	if err := node.Execute(newMacvlan(pod, want, mode, index)); err != nil {
		return Link{}, err
	}
	if index == 0 || want.Mode == passthru {
		return foundLink(pod, want.Name)
	}
	mtu := want.MTU
	if mtu == 0 {
		mtu = want.Uplink.MTU
	}
	return Link{Index: index, Name: want.Name, MAC: want.MAC, MTU: mtu, Ours: true, Parent: want.Uplink.Index, Mode: want.Mode}, nil
}

func newMacvlan(pod *kernel.Namespace, want Macvlan, mode uint32, index int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(want.Name)))
	request.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(want.Uplink.Index))))
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(pod.FD()))))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(plan.LinkGroup)))
	if want.MTU != 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(want.MTU))))
	}
	if want.GSOMaxSize != 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_GSO_MAX_SIZE, nl.Uint32Attr(uint32(want.GSOMaxSize))))
	}
	if want.Mode != passthru {
		request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, want.MAC))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(mode))
	request.AddData(info)
	return request
}

// chosenIndex is the index that a link gets unless it is taken. With an index that is known beforehand the link need not be
// looked up, which costs a twelfth of an attach. Links that the kernel numbers itself stay far below.
func chosenIndex(name string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	return 1<<16 + int(hash.Sum32()&0xffff)
}

// Mismatch returns a clause that tells how a link differs, or "".
func (m Macvlan) Mismatch(link Link) string {
	switch {
	case !link.Ours:
		return "the interface is not Multinet's"
	case link.Mode != m.Mode:
		return fmt.Sprintf("the macvlan mode is %q instead of %q", link.Mode, m.Mode)
	case link.Parent != m.Uplink.Index:
		return fmt.Sprintf("the link is on the node's interface %d instead of %d", link.Parent, m.Uplink.Index)
	case m.Mode != passthru && !bytes.Equal(link.MAC, m.MAC):
		return fmt.Sprintf("the MAC is %s instead of %s", link.MAC, m.MAC)
	case m.MTU != 0 && link.MTU != m.MTU:
		return fmt.Sprintf("the MTU is %d instead of %d", link.MTU, m.MTU)
	}
	return ""
}
