package inventory

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// NIC is the interface name of the NIC whose bandwidth the device uses.
func (d Device) NIC() string {
	if d.Kind == v1alpha1.DeviceKindVF {
		return d.PF
	}
	return d.Interface
}

// Lent is what plan.Attachment.Lent calls the device, where an attachment has it for itself.
func (d Device) Lent() string {
	if d.Kind == v1alpha1.DeviceKindVF {
		return d.PCIAddress
	}
	return d.Interface
}

// ReadNICs returns a device for every NIC that carries some of the devices and is not among them: a physical function that is
// no uplink, and the interface below the overlay. Bandwidth is taken from it. A NIC that vanishes meanwhile is left out.
func ReadNICs(sys fs.FS, config Config, devices []Device) (nics []Device, err error) {
	have := map[string]bool{}
	for _, d := range devices {
		if d.Kind == v1alpha1.DeviceKindUplink {
			have[d.Interface] = true
		}
	}
	for _, d := range devices {
		name := d.NIC()
		if have[name] {
			continue
		}
		have[name] = true
		device := Device{Name: deviceName("nic", name), Kind: v1alpha1.DeviceKindNIC, Interface: name}
		entry, _, _ := config.match(name)
		err := (nic{sys: sys, path: netClass + "/" + name}).link(&device, entry)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("interface %s: %w", name, err)
		default:
			nics = append(nics, device)
		}
	}
	return nics, nil
}

// promised is what pods may be guaranteed of a bandwidth in bit/s.
func (u UplinkConfig) promised(bandwidth int64) int64 {
	if u.Overcommit == nil {
		return bandwidth
	}
	return int64(float64(bandwidth) * u.Overcommit.AsApproximateFloat64())
}
