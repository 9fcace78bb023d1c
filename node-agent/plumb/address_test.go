package plumb

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// What is put on a link is what the kernel tells of it, with the broadcast address of its subnet, RFC 3021.
func TestAddressesAsTold(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, ns, "eth0", ns, "eth1")
	index, _, err := ns.Interface("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for address, broadcast := range map[string]string{
		"10.20.0.5/24":  "10.20.0.255",
		"10.21.9.1/8":   "10.255.255.255",
		"10.22.0.1/30":  "10.22.0.3",
		"10.23.0.0/31":  "",
		"10.24.0.1/32":  "",
		"fd00:20::5/64": "",
		"fd00:21::/127": "",
	} {
		want := netip.MustParsePrefix(address)
		for _, created := range []bool{true, false} {
			if is, err := EnsureAddress(ns, index, want); err != nil || is != created {
				t.Errorf("ensure %s: created %v, %v; want %v", address, is, err, created)
			}
		}
		list, err := ns.Handle().AddrList(byIndex(index), netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var found int
		for _, addr := range list {
			if prefix(addr.IPNet) != want {
				continue
			}
			found++
			if got := addr.Broadcast; got != nil && got.String() != broadcast || got == nil && broadcast != "" {
				t.Errorf("%s has broadcast address %q, want %q", address, got, broadcast)
			}
		}
		if found != 1 {
			t.Errorf("%s is there %d times", address, found)
		}
	}
}
