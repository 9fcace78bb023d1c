package dra

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Node is what a node offers to pods.
type Node struct {
	Devices []inventory.Device
	// Topology has the values of the labels that tell where the node is, by key. Labels without a value are left out.
	Topology map[string]string
	// Unplaced tells that it is not known yet where the node is, so that its overlay is not among the devices.
	Unplaced bool
	// Dirty has the reason for each VF or NIC that is not to be offered, by inventory.Device.Lent.
	Dirty map[string]string
}

// Devices are those of the node as last read.
type Devices struct {
	read func() (Node, error)

	mu    sync.RWMutex
	node  Node
	dirty map[string]string
}

// NewDevices returns the devices that read finds. It is empty until Refresh.
func NewDevices(read func() (Node, error)) *Devices { return &Devices{read: read} }

// Refresh reads the devices again and tells whether anything about them changed.
func (d *Devices) Refresh() (changed bool, err error) {
	node, err := d.read()
	if err != nil {
		return false, fmt.Errorf("read the node's devices: %w", err)
	}
	slices.SortFunc(node.Devices, func(a, b inventory.Device) int { return cmp.Compare(a.Name, b.Name) })
	d.mu.Lock()
	defer d.mu.Unlock()
	node.Dirty = maps.Clone(d.dirty)
	changed = !reflect.DeepEqual(d.node, node)
	d.node = node
	return changed, nil
}

// Node returns what was last read, with the devices in the order of their names. It must not be changed.
func (d *Devices) Node() Node {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.node
}

// Device returns the device of that name in the node's pool.
func (d *Devices) Device(name string) (plan.Device, bool) {
	return d.find(func(i inventory.Device) bool { return i.Name == name })
}

// Select returns the first NIC that a Network admits.
func (d *Devices) Select(s v1alpha1.UplinkSelector) (plan.Device, bool) {
	return d.find(func(i inventory.Device) bool {
		return i.Kind == v1alpha1.DeviceKindUplink &&
			(len(s.Names) == 0 || slices.Contains(s.Names, v1alpha1.InterfaceName(i.Interface))) &&
			(len(s.MACs) == 0 || slices.Contains(s.MACs, i.MAC)) &&
			(len(s.PCIAddresses) == 0 || slices.Contains(s.PCIAddresses, i.PCIAddress)) &&
			(s.Driver == "" || s.Driver == i.Driver) &&
			(s.MinLinkSpeed == nil || s.MinLinkSpeed.Value() <= i.LinkSpeed)
	})
}

// Overlay returns the node's way to its rack, and false where no interface of the node has the node's address.
func (d *Devices) Overlay() (plan.Device, bool) { return d.Device(inventory.OverlayName) }

// VFs are the virtual functions.
func (d *Devices) VFs() (vfs []plan.Device) {
	for _, i := range d.Node().Devices {
		if i.Kind == v1alpha1.DeviceKindVF {
			vfs = append(vfs, planDevice(i))
		}
	}
	return vfs
}

// SetDirty has a VF, by its PCI address, or a NIC, by its name, not offered, from the next Refresh on, for a reason of at most 63 letters, digits, '-', '_' and '.', or
// offered again for none. It tells whether that is a change.
func (d *Devices) SetDirty(lent, reason string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirty[lent] == reason {
		return false
	}
	if d.dirty == nil {
		d.dirty = map[string]string{}
	}
	d.dirty[lent] = reason
	if reason == "" {
		delete(d.dirty, lent)
	}
	return true
}

// Bandwidth of a device in bit/s, 0 where it is not there or nobody knows.
func (d *Devices) Bandwidth(device plan.Device) uint64 {
	for _, i := range d.Node().Devices {
		if i.Name == device.Name {
			return uint64(max(i.Bandwidth, 0))
		}
	}
	return 0
}

// Carrier tells whether the device is there and has a carrier. Uplinks and overlays are looked up by their interface. One that
// is not there is taken to have one while it can be the overlay's: pods that run on it must not become unready when an
// agent starts.
func (d *Devices) Carrier(device plan.Device) bool {
	node, found := d.Node(), false
	for _, i := range node.Devices {
		if i.Interface != device.Uplink || device.Uplink == "" && i.Name != device.Name {
			continue
		}
		if i.Carrier {
			return true
		}
		found = true
	}
	return !found && node.Unplaced
}

func (d *Devices) find(match func(inventory.Device) bool) (plan.Device, bool) {
	list := d.Node().Devices
	n := slices.IndexFunc(list, match)
	if n < 0 {
		return plan.Device{}, false
	}
	return planDevice(list[n]), true
}

func planDevice(i inventory.Device) plan.Device {
	device := plan.Device{
		Name: i.Name, Uplink: i.Interface, PCIAddress: i.PCIAddress, PCIeRoot: i.PCIeRoot,
		Driver: i.Driver, Vendor: i.Vendor, PF: i.PF, PFAddress: i.PFAddress, VFIndex: i.VFIndex, RDMADevice: i.RDMADevice,
		IOMMUGroup: i.IOMMUGroup, Representor: i.Representor, LinkSpeed: i.LinkSpeed,
	}
	if i.NUMANode != nil {
		numa := int32(*i.NUMANode)
		device.NUMANode = &numa
	}
	return device
}
