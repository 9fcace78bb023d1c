package plumb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// VFIODriver lets programs drive devices.
const VFIODriver = "vfio-pci"

var (
	// ErrNoVFIO tells that the kernel of the node lacks the driver.
	ErrNoVFIO = errors.New("the node's kernel has no driver vfio-pci: load the module vfio-pci")
	// ErrNoIOMMU tells that a program that has the VF could write to all memory.
	ErrNoIOMMU = errors.New("the VF is in no IOMMU group: switch the IOMMU on in the firmware and on the kernel's command line (intel_iommu=on)")
)

// VFIO is how a program reaches a VF that it drives itself.
type VFIO struct {
	// Group is the IOMMU group's number, Device its file on the node, such as /dev/vfio/10.
	Group  int
	Device string
}

// BindVFIO gives the VF to vfio-pci, and its interface ends. Release gives it back. A VF that has the driver already is left
// alone. The error wraps ErrNoVFIO, ErrNoIOMMU, or is a *VFError.
func (h VFs) BindVFIO(ctx context.Context, vf VF) (VFIO, error) {
	device, err := h.VFIO(vf)
	if err != nil {
		return VFIO{}, err
	}
	present, err := h.Driver(vf.PCIAddress)
	if err != nil || present == VFIODriver {
		return device, err
	}
	// Looked at before the VF loses the driver that it has.
	drivers, err := h.Sys.List(pciDrivers)
	if err == nil && !slices.Contains(drivers, VFIODriver) {
		err = ErrNoVFIO
	}
	if err != nil {
		return VFIO{}, fmt.Errorf("%s: %w", vf, err)
	}
	return device, h.bind(ctx, vf, VFIODriver, VFIODriver)
}

// VFIO tells what a VF's device is, or will be, and refuses one that cannot be given away alone.
func (h VFs) VFIO(vf VF) (VFIO, error) {
	name, err := h.Sys.Target(pciDevices + vf.PCIAddress + "/iommu_group")
	if err == nil && name == "" {
		err = ErrNoIOMMU
	}
	if err != nil {
		return VFIO{}, fmt.Errorf("%s: %w", vf, err)
	}
	group, err := strconv.Atoi(name)
	if err != nil {
		return VFIO{}, fmt.Errorf("%s: number of its IOMMU group: %w", vf, err)
	}
	others, err := h.othersInGroup(vf)
	if err == nil && len(others) > 0 {
		err = fmt.Errorf("its IOMMU group %d holds %s too, which would have to be given away with it", group, strings.Join(others, ", "))
	}
	if err != nil {
		return VFIO{}, fmt.Errorf("%s: %w", vf, err)
	}
	return VFIO{Group: group, Device: "/dev/vfio/" + name}, nil
}

// othersInGroup leaves out bridges, which the kernel lets stand beside a device that is given away.
func (h VFs) othersInGroup(vf VF) (others []string, err error) {
	const pciBridge = "0x0604"
	members, err := h.Sys.List(pciDevices + vf.PCIAddress + "/iommu_group/devices")
	for _, member := range members {
		class, err := h.Sys.Read(pciDevices + member + "/class")
		if err != nil {
			return nil, err
		}
		if member != vf.PCIAddress && !strings.HasPrefix(class, pciBridge) {
			others = append(others, member)
		}
	}
	return others, err
}
