package plumb

import (
	"fmt"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// Announce tells the segment of a pod's interface where its addresses are now: a gratuitous ARP or an unsolicited
// neighbour advertisement for each. Neighbours that knew the address of a former pod would else send
// to its MAC until their entry ages.
func Announce(pod *kernel.Namespace, iface string, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	var socket *packetSocket
	err := pod.Do(func() (err error) {
		socket, err = openPacket(iface, 0, nil)
		return err
	})
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
