package kerneltest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

func link(t testing.TB, ns *kernel.Namespace, name string) netlink.Link {
	t.Helper()
	found, err := ns.Handle().LinkByName(name)
	must(t, "look up "+name, err)
	return found
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// SetDown takes a link down.
func SetDown(t testing.TB, ns *kernel.Namespace, name string) {
	t.Helper()
	must(t, "set down "+name, ns.Handle().LinkSetDown(link(t, ns, name)))
}

// Rename renames a link, which must be down.
func Rename(t testing.TB, ns *kernel.Namespace, from, to string) {
	t.Helper()
	must(t, "rename "+from, ns.Handle().LinkSetName(link(t, ns, from), to))
}

// Remove removes a link, and with it what is on it.
func Remove(t testing.TB, ns *kernel.Namespace, name string) {
	t.Helper()
	must(t, "remove "+name, ns.Handle().LinkDel(link(t, ns, name)))
}

// Macvlan makes a link on an uplink of the node with the kernel's defaults, up.
func Macvlan(t testing.TB, node *kernel.Namespace, uplink string, pod *kernel.Namespace, name string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, link(t, node, uplink).Attrs().Index
	attrs.Namespace, attrs.Flags = netlink.NsFd(pod.FD()), net.FlagUp
	must(t, "create "+name, node.Handle().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}))
}

// VLAN makes a link for a VLAN that is not ours. The error is EOPNOTSUPP where the kernel lacks 802.1Q.
func VLAN(t testing.TB, node *kernel.Namespace, uplink string, id int, name string) error {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, link(t, node, uplink).Attrs().Index
	return node.Handle().LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

// SetNeighbour makes a host believe that an address is at a MAC.
func SetNeighbour(t testing.TB, ns *kernel.Namespace, iface string, addr netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	must(t, "set neighbour "+addr.String(), ns.Handle().NeighSet(&netlink.Neigh{
		LinkIndex: link(t, ns, iface).Attrs().Index, IP: addr.AsSlice(), HardwareAddr: mac, State: netlink.NUD_STALE,
	}))
}

// Neighbour is the MAC at which a host believes an address to be, or "".
func Neighbour(t testing.TB, ns *kernel.Namespace, iface string, addr netip.Addr) string {
	t.Helper()
	index := link(t, ns, iface).Attrs().Index
	list, err := kernel.Dump(func() ([]netlink.Neigh, error) { return ns.Handle().NeighList(index, netlink.FAMILY_ALL) })
	must(t, "list neighbours", err)
	for _, neighbour := range list {
		if neighbour.IP.Equal(addr.AsSlice()) {
			return neighbour.HardwareAddr.String()
		}
	}
	return ""
}
