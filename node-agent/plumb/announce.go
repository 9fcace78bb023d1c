package plumb

import (
	"fmt"
	"net/netip"
)

// Announce tells the segment of an interface where its addresses are now: a gratuitous ARP or an unsolicited
// neighbour advertisement for each. Neighbours that knew the address of a former pod would else send to its MAC until
// their entry ages. It runs inside kernel.Namespace.Do or kernel.Inside of the pod's namespace.
func Announce(iface string, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	socket, err := openPacket(iface, 0, nil)
	if err != nil {
		return fmt.Errorf("announce addresses: %w", err)
	}
	defer socket.Close()
	for _, addr := range addrs {
		frame := naAnnouncement
		if addr.Is4() {
			frame = arpAnnouncement
		}
		if err := socket.send(frame(socket.mac, addr)); err != nil {
			return fmt.Errorf("announce address %s: %w", addr, err)
		}
	}
	return nil
}
