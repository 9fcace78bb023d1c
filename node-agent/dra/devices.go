package dra

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Devices are the NICs of the node as last read.
type Devices struct {
	read func() ([]inventory.Device, error)

	mu   sync.RWMutex
	list []inventory.Device
}

// NewDevices returns the NICs that read finds. It is empty until Refresh.
func NewDevices(read func() ([]inventory.Device, error)) *Devices { return &Devices{read: read} }

// Refresh reads the NICs again and tells whether anything about them changed.
func (d *Devices) Refresh() (changed bool, err error) {
	list, err := d.read()
	if err != nil {
		return false, fmt.Errorf("read the node's NICs: %w", err)
	}
	slices.SortFunc(list, func(a, b inventory.Device) int { return cmp.Compare(a.Name, b.Name) })
	d.mu.Lock()
	defer d.mu.Unlock()
	changed = !reflect.DeepEqual(d.list, list)
	d.list = list
	return changed, nil
}

// All returns the NICs in the order of their names.
func (d *Devices) All() []inventory.Device {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.list
}

// Device returns the NIC of that name in the node's pool.
func (d *Devices) Device(name string) (plan.Device, bool) {
	return d.find(func(i inventory.Device) bool { return i.Name == name })
}

// Select returns the first NIC that a Network admits.
func (d *Devices) Select(s v1alpha1.UplinkSelector) (plan.Device, bool) {
	return d.find(func(i inventory.Device) bool {
		return (len(s.Names) == 0 || slices.Contains(s.Names, v1alpha1.InterfaceName(i.Interface))) &&
			(s.Driver == "" || s.Driver == i.Driver) &&
			(s.MinLinkSpeed == nil || s.MinLinkSpeed.Value() <= i.LinkSpeed)
	})
}

// Carrier tells whether the NIC of that interface name is there and has a carrier.
func (d *Devices) Carrier(uplink string) bool {
	return slices.ContainsFunc(d.All(), func(i inventory.Device) bool { return i.Interface == uplink && i.Carrier })
}

func (d *Devices) find(match func(inventory.Device) bool) (plan.Device, bool) {
	list := d.All()
	n := slices.IndexFunc(list, match)
	if n < 0 {
		return plan.Device{}, false
	}
	i := list[n]
	device := plan.Device{
		Name: i.Name, Uplink: i.Interface, PCIAddress: i.PCIAddress, PCIeRoot: i.PCIeRoot,
		Driver: i.Driver, Vendor: i.Vendor,
	}
	if i.NUMANode != nil {
		numa := int32(*i.NUMANode)
		device.NUMANode = &numa
	}
	return device, true
}
