package plumb

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// quietIPv6 are the sysctls of an interface that takes nothing from the network by itself: no router advertisement
// (a rogue one redirects the pod's traffic, CVE-2020-10749), no address made from one, and no duplicate detection,
// which would keep addresses tentative for over a second.
var quietIPv6 = []struct{ key, value string }{
	{"accept_ra", "0"},
	{"autoconf", "0"},
	{"accept_dad", "0"},
}

// QuietIPv6 writes the sysctls of one interface. It runs inside kernel.Namespace.Do or kernel.Inside, before the interface
// is up. Writing conf/default before the link is created up, and restoring it, costs as much (60 µs in a new
// namespace, most of it the first look into conf) and would leave eth0's successors changed after a crash between the two.
// A kernel without IPv6 has nothing to be quieted.
func QuietIPv6(proc kernel.Proc, iface string) error {
	for _, s := range quietIPv6 {
		err := proc.WriteNet("ipv6/conf/"+iface+"/"+s.key, s.value)
		if errors.Is(err, fs.ErrNotExist) {
			if _, missing := proc.ReadNet("ipv6/conf/all/disable_ipv6"); errors.Is(missing, fs.ErrNotExist) {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("sysctl of %s: %w", iface, err)
		}
	}
	return nil
}
