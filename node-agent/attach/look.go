package attach

import (
	"net"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Seen is an interface that others have made.
type Seen struct {
	MAC net.HardwareAddr
	MTU int
	// Addresses are those of all scopes but link.
	Addresses []netip.Prefix
}

// Look reads an interface of a pod by its name, and false where there is none. The error is kernel.ErrNamespaceGone or one of the
// kernel.
func Look(netnsPath, name string) (seen Seen, found bool, err error) {
	err = kernel.Inside(netnsPath, func(pod *kernel.Namespace) error {
		var link plumb.Link
		if link, found, err = plumb.FindLink(pod, name); err != nil || !found {
			return err
		}
		addresses, err := plumb.AllAddresses(pod)
		seen = Seen{MAC: link.MAC, MTU: link.MTU, Addresses: addresses[link.Index]}
		return err
	})
	return seen, found && err == nil, err
}
