package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// VF is one SR-IOV virtual function.
type VF struct {
	// Name is a DNS label, unique on the node, and depends on the PCI address alone.
	Name string
	// PCIAddress such as "0000:01:10.0" and PCIeRoot such as "pci0000:00".
	PCIAddress string
	PCIeRoot   string
	// PF is the interface name of the physical function, PFAddress its PCI address, PFDriver its driver, and Index the
	// VF's number on it.
	PF        string
	PFAddress string
	PFDriver  string
	Index     int
	// Vendor and Device are PCI identifiers such as "0x8086" and "0x10ca".
	Vendor string
	Device string
	// Driver that the VF is bound to now, empty for none.
	Driver string
	// NUMANode is nil where the machine has none or does not say.
	NUMANode *int
	// LinkSpeed in bit/s and Carrier are those of the PF.
	LinkSpeed int64
	Carrier   bool
	// RDMADevice such as "mlx5_3", empty for none.
	RDMADevice string
}

// representor is the phys_port_name of a link that stands for a VF or SF of the function, in switchdev mode.
var representor = regexp.MustCompile(`^(c[0-9]+)?pf[0-9]+(vf|sf)[0-9]+$`)

// ReadVFs lists the virtual functions of a node, ordered by PCI address of the physical function and number. sys is that of
// Read. A function that vanishes meanwhile is left out.
func ReadVFs(sys fs.FS) ([]VF, error) {
	entries, err := fs.ReadDir(sys, netClass)
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var vfs []VF
	for _, entry := range entries {
		n := nic{sys: sys, path: netClass + "/" + entry.Name()}
		if representor.MatchString(n.text("phys_port_name")) {
			continue
		}
		found, err := n.virtualFunctions(entry.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("virtual functions of %s: %w", entry.Name(), err)
		}
		vfs = append(vfs, found...)
	}
	slices.SortFunc(vfs, func(a, b VF) int {
		if c := strings.Compare(a.PFAddress, b.PFAddress); c != 0 {
			return c
		}
		return a.Index - b.Index
	})
	return vfs, nil
}

// virtualFunctions follows the links virtfnN of the function behind an interface.
func (n nic) virtualFunctions(name string) ([]VF, error) {
	function, err := realPath(n.sys, n.path+"/device")
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(n.sys, function)
	if err != nil {
		return nil, err
	}
	var pf Device
	n.hardware(&pf)
	var vfs []VF
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), "virtfn")
		index, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		vf := VF{
			PF: name, PFAddress: pf.PCIAddress, PFDriver: pf.Driver, Index: index,
			LinkSpeed: n.speed(), Carrier: n.text("carrier") == "1",
		}
		if vf.read(n.sys, function+"/"+entry.Name()) {
			vfs = append(vfs, vf)
		}
	}
	return vfs, nil
}

// read fills in what the function's own folder tells, and reports whether it is there.
func (v *VF) read(sys fs.FS, link string) bool {
	path, err := realPath(sys, link)
	if err != nil {
		return false
	}
	elements := strings.Split(path, "/")
	v.PCIAddress = elements[len(elements)-1]
	if !pciAddress.MatchString(v.PCIAddress) {
		return false
	}
	v.Name = "vf-" + strings.NewReplacer(":", "-", ".", "-").Replace(v.PCIAddress)
	for _, element := range elements {
		if pciRoot.MatchString(element) {
			v.PCIeRoot = element
		}
	}
	function := nic{sys, path}
	v.Vendor, v.Device = function.text("vendor"), function.text("device")
	if node, err := function.number("numa_node"); err == nil && node >= 0 {
		v.NUMANode = &node
	}
	if driver, err := realPath(sys, path+"/driver"); err == nil {
		v.Driver = driver[strings.LastIndex(driver, "/")+1:]
	}
	if rdma, err := fs.ReadDir(sys, path+"/infiniband"); err == nil && len(rdma) > 0 {
		v.RDMADevice = rdma[0].Name()
	}
	return true
}
