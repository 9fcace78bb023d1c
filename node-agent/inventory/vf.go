package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// representor is the phys_port_name of a link that stands for a VF or SF of the function, in switchdev mode.
var representor = regexp.MustCompile(`^(c[0-9]+)?pf[0-9]+(vf|sf)[0-9]+$`)

// readVFs looks for virtual functions behind all interfaces. A function that vanishes meanwhile is left out.
func readVFs(sys fs.FS, interfaces []fs.DirEntry) ([]Device, error) {
	var vfs []Device
	for _, entry := range interfaces {
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
	slices.SortFunc(vfs, func(a, b Device) int {
		return cmp.Or(strings.Compare(a.PFAddress, b.PFAddress), cmp.Compare(a.VFIndex, b.VFIndex))
	})
	return vfs, nil
}

// virtualFunctions follows the links virtfnN of the function behind an interface.
func (n nic) virtualFunctions(name string) ([]Device, error) {
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
	var vfs []Device
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), "virtfn")
		index, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		vf := Device{
			Kind: v1alpha1.DeviceKindVF, PF: name, PFAddress: pf.PCIAddress, VFIndex: index, Driver: pf.Driver,
			LinkSpeed: n.speed(), Carrier: n.text("carrier") == "1", Switchdev: n.text("phys_switch_id") != "",
		}
		if vf.readFunction(n.sys, function+"/"+entry.Name()) {
			vfs = append(vfs, vf)
		}
	}
	return vfs, nil
}

// readFunction fills in what the function's own folder tells, and reports whether it is there.
func (v *Device) readFunction(sys fs.FS, link string) bool {
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
	v.Vendor, v.DeviceID = function.text("vendor"), function.text("device")
	if node, err := function.number("numa_node"); err == nil && node >= 0 {
		v.NUMANode = &node
	}
	if group, err := realPath(sys, path+"/iommu_group"); err == nil {
		v.IOMMUGroup = group[strings.LastIndex(group, "/")+1:]
	}
	if rdma, err := fs.ReadDir(sys, path+"/infiniband"); err == nil && len(rdma) > 0 {
		v.RDMADevice = rdma[0].Name()
	}
	return true
}
