package fabric

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Attach gives a new pod its interface on a node of Multinet's pair, as the hook of a sandbox does.
func Attach(node *Node, podPath string, mac net.HardwareAddr) error {
	return node.attach(podPath, mac, node.Pod.Addresses[:])
}

// AttachByHand makes the same interface by the calls alone. The index of the overlay's link is known beforehand, no sysctl
// is written, nothing is looked at twice.
func AttachByHand(node *Node, podPath string, mac net.HardwareAddr) error {
	file, err := os.Open(podPath)
	if err != nil {
		return err
	}
	defer file.Close()
	handle, err := netlink.NewHandleAt(netns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in the pod: %w", err)
	}
	defer handle.Close()
	return macvlanByHand(node.Handle(), handle, int(file.Fd()), node.link, mac, node.Pod.Addresses[:])
}
