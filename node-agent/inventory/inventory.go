// Package inventory finds the NICs of a node that can carry pods' interfaces. It reads a file system that is rooted
// at /sys, and nothing else, so that any machine can be laid before it in a test.
package inventory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Device is one uplink, one virtual function, the node's overlay, a NIC that nothing but bandwidth is taken from, or the node's CNI
// plugins.
type Device struct {
	// Name is a DNS label, unique on the node. That of an uplink depends on the interface's name alone.
	Name string
	Kind v1alpha1.DeviceKind
	// Interface is its name on the node.
	Interface string
	// Driver is the kernel driver, Vendor the PCI vendor such as "0x8086"; empty for what is no hardware.
	Driver string
	Vendor string
	// PCIAddress such as "0000:3b:00.0" and PCIeRoot such as "pci0000:3a"; empty for what is not on a PCI bus.
	PCIAddress string
	PCIeRoot   string
	// NUMANode is nil where the machine has none or does not say.
	NUMANode *int
	// LinkSpeed in bit/s: what the driver reports, else the configured bandwidth, else 0 for unknown.
	LinkSpeed int64
	// Bandwidth in bit/s of each direction: as configured, else LinkSpeed.
	Bandwidth int64
	// Promised is what pods may be guaranteed of Bandwidth in total, by the configured overcommit.
	Promised int64
	// Carrier tells that the link is up and has a partner.
	Carrier bool
	MAC     string
	MTU     int

	// PF is the interface name of a VF's physical function, whose driver, speed and carrier it has; PFAddress is its PCI
	// address, and VFIndex the VF's number on it.
	PF        string
	PFAddress string
	VFIndex   int
	// DeviceID is the PCI device identifier of a VF such as "0x10ca".
	DeviceID string
	// RDMADevice such as "mlx5_3", empty for none.
	RDMADevice string
	// IOMMUGroup of a VF such as "10", empty for none.
	IOMMUGroup string
	// Switchdev tells that the PF of a VF is in switchdev mode, and Representor is the node's interface for the VF then. Read
	// leaves it empty.
	Switchdev   bool
	Representor string

	// Plugins are the types of the CNI plugins that the device stands for.
	Plugins []string
}

const netClass = "class/net"

// OverlayName is the name of the device that is the node's overlay. No uplink can have it.
const OverlayName = "overlay"

// Read lists the uplinks of a node, ordered by interface name, and its virtual functions, ordered by the PCI address of the
// physical function and their number. sys must resolve symbolic links, as os.DirFS("/sys")
// does, and implement fs.ReadLinkFS. An interface that vanishes meanwhile is left out.
func Read(sys fs.FS, config Config) ([]Device, error) {
	entries, err := fs.ReadDir(sys, netClass)
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var devices []Device
	for _, entry := range entries {
		device, ok, err := readDevice(sys, entry.Name(), config)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", entry.Name(), err)
		}
		if ok {
			devices = append(devices, device)
		}
	}
	vfs, err := readVFs(sys, entries)
	return append(devices, vfs...), err
}

func readDevice(sys fs.FS, name string, config Config) (Device, bool, error) {
	n := nic{sys: sys, path: netClass + "/" + name}
	entry, exact, configured := config.match(name)
	if !n.isUplink(name, configured, exact) {
		return Device{}, false, nil
	}
	device := Device{Name: deviceName("uplink", name), Kind: v1alpha1.DeviceKindUplink, Interface: name}
	if err := n.link(&device, entry); err != nil {
		return Device{}, false, err
	}
	device.MAC = n.text("address")
	n.hardware(&device)
	return device, true, nil
}

// ReadOverlay returns the node's overlay over an interface of any kind, with the bandwidth and the carrier of that
// interface. The error wraps fs.ErrNotExist where there is no such interface.
func ReadOverlay(sys fs.FS, config Config, iface string) (Device, error) {
	device := Device{Name: OverlayName, Kind: v1alpha1.DeviceKindOverlay, Interface: iface}
	entry, _, _ := config.match(iface)
	if err := (nic{sys: sys, path: netClass + "/" + iface}).link(&device, entry); err != nil {
		return Device{}, fmt.Errorf("interface %s: %w", iface, err)
	}
	return device, nil
}

var notInLabel = regexp.MustCompile(`[^a-z0-9-]+`)

// deviceName is such as "uplink-eth1". A name that cannot stand in a DNS label as it is gets a digest, since eth1.5 and eth1-5
// would be one device otherwise.
func deviceName(kind, iface string) string {
	label := notInLabel.ReplaceAllString(strings.ToLower(iface), "-")
	label = strings.Trim(label, "-")
	if label == iface {
		return kind + "-" + label
	}
	digest := sha256.Sum256([]byte(iface))
	return strings.TrimSuffix(kind+"-"+label, "-") + fmt.Sprintf("-%x", digest[:3])
}
