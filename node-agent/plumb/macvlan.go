package plumb

import (
	"bytes"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Macvlan is a macvlan link as it should be.
type Macvlan struct {
	Name string
	// Parent is the index of the uplink, or of the VLAN link on it, in the node's namespace.
	Parent int
	// MAC is not used in mode passthru, in which the link has that of the uplink.
	MAC net.HardwareAddr
	// MTU in bytes, 0 for that of the parent.
	MTU int
	// Mode is bridge, vepa, private or passthru.
	Mode string
}

const passthru = "passthru"

var modes = map[string]netlink.MacvlanMode{
	"bridge":  netlink.MACVLAN_MODE_BRIDGE,
	"vepa":    netlink.MACVLAN_MODE_VEPA,
	"private": netlink.MACVLAN_MODE_PRIVATE,
	passthru:  netlink.MACVLAN_MODE_PASSTHRU,
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
	err = createMacvlan(node, pod, want)
	created = err == nil
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return Link{}, false, err
	}
	link, found, err := FindLink(pod, want.Name)
	switch {
	case err != nil:
		return Link{}, created, err
	case !found && created:
		return Link{}, created, fmt.Errorf("%s vanished from the pod as soon as it was created", want.Name)
	case !found:
		return Link{}, false, ErrNameOnNode
	case created || want.matches(link):
		return link, created, nil
	case !link.Ours:
		return Link{}, false, ErrNameTaken
	}
	// Ours and wrong. Most of it cannot be changed in place, so begin again; now nothing of the name is there.
	if err := RemoveLink(pod, link.Index); err != nil {
		return Link{}, false, fmt.Errorf("remove the link that does not match: %w", err)
	}
	return EnsureMacvlan(node, pod, want)
}

// createMacvlan creates the link where it belongs with all its attributes in one request. A link that is moved
// afterwards costs 16 ms and can meet another of its name on the node.
func createMacvlan(node, pod *kernel.Namespace, want Macvlan) error {
	mode, ok := modes[want.Mode]
	if !ok {
		return fmt.Errorf("%q is not a macvlan mode", want.Mode)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = want.Name
	attrs.ParentIndex = want.Parent
	attrs.Namespace = netlink.NsFd(pod.FD())
	attrs.MTU = want.MTU
	attrs.Group = plan.LinkGroup
	if want.Mode != passthru {
		attrs.HardwareAddr = want.MAC
	}
	// The library now looks for the name in the node's namespace and may put a foreign index into its argument,
	// which is why the link is looked up again by the caller.
	return node.Handle().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: mode})
}

// matches reports whether a link is ours and as wanted.
func (m Macvlan) matches(link Link) bool { return m.Mismatch(link) == "" }

// Mismatch returns a clause that tells how a link differs, or "".
func (m Macvlan) Mismatch(link Link) string {
	switch {
	case !link.Ours:
		return "the interface is not Multinet's"
	case link.Mode != m.Mode:
		return fmt.Sprintf("the macvlan mode is %q instead of %q", link.Mode, m.Mode)
	case link.Parent != m.Parent:
		return fmt.Sprintf("the link is on the node's interface %d instead of %d", link.Parent, m.Parent)
	case m.Mode != passthru && !bytes.Equal(link.MAC, m.MAC):
		return fmt.Sprintf("the MAC is %s instead of %s", link.MAC, m.MAC)
	case m.MTU != 0 && link.MTU != m.MTU:
		return fmt.Sprintf("the MTU is %d instead of %d", link.MTU, m.MTU)
	}
	return ""
}
