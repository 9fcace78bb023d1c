package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

func TestHolder(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "node")
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "d0"}, PeerName: "d1"}
	if err := ns.Handle().LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	for name, addresses := range map[string][]string{"d0": {"192.0.2.1/24", "2001:db8::1/64"}, "d1": {"192.0.2.2/32", "192.0.2.3/24"}} {
		link, err := ns.Handle().LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range addresses {
			address, err := netlink.ParseAddr(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := ns.Handle().AddrAdd(link, address); err != nil {
				t.Fatal(err)
			}
		}
	}
	for address, want := range map[string]string{
		"192.0.2.1": "d0", "2001:db8::1": "d0", "192.0.2.2": "d1", "192.0.2.3": "d1", "::ffff:192.0.2.3": "d1", "192.0.2.4": "", "2001:db8::2": "",
	} {
		var got string
		err := ns.Do(func() (err error) {
			var found bool
			got, found, err = kernel.Holder(netip.MustParseAddr(address))
			if found != (want != "") {
				t.Errorf("%s: found %v", address, found)
			}
			return err
		})
		if err != nil || got != want {
			t.Errorf("%s: held by %q, %v, want %q", address, got, err, want)
		}
	}
}
