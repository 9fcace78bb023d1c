package sandboxes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// Container is what every container of a pod gets beside what the pod's spec says.
type Container struct {
	// NetworksFile is the path of the pod's networks.json, empty for a pod that selects nothing.
	NetworksFile string
	// Env names the pod's VFs, in the order of their names.
	Env []Variable
	// Devices are the files by which a program drives the VFs that are the pod's without an interface.
	Devices []CharacterDevice
}

// Variable of a container's environment.
type Variable struct{ Name, Value string }

// CharacterDevice is a file of the node and of a container.
type CharacterDevice struct {
	Path         string
	Major, Minor int64
}

const (
	vfioPath  = "/dev/vfio/"
	vfioClass = "class/vfio/"
	// vfioControl is the file that all programs share which drive devices, miscVFIO its entry in sysfs.
	vfioControl = vfioPath + "vfio"
	miscVFIO    = "class/misc/vfio"
)

// containerOf leaves the file to its caller.
func (k *Keeper) containerOf(made []publish.Interface) (c Container, err error) {
	if c.Env, err = pciVariables(made); err != nil {
		return Container{}, err
	}
	entries := map[string]string{}
	for _, m := range made {
		if m.Plan.VF != nil && m.Plan.VF.VFIO {
			entries[vfioControl] = miscVFIO
			entries[vfioPath+m.Plan.Device.IOMMUGroup] = vfioClass + m.Plan.Device.IOMMUGroup
		}
	}
	for path, entry := range entries {
		d := CharacterDevice{Path: path}
		if d.Major, d.Minor, err = k.Numbers(entry); err != nil {
			return Container{}, fmt.Errorf("device %s: %w", path, err)
		}
		c.Devices = append(c.Devices, d)
	}
	slices.SortFunc(c.Devices, func(a, b CharacterDevice) int { return strings.Compare(a.Path, b.Path) })
	return c, nil
}

// pciVariables are those by which programs find the devices of SR-IOV device plugins: PCIDEVICE_<resource> lists PCI addresses in
// the order of the pod's selection, PCIDEVICE_<resource>_INFO is JSON by address. The resource is multinet.dev/<PF>.
func pciVariables(made []publish.Interface) (env []Variable, err error) {
	addresses := map[string][]string{}
	infos := map[string]map[string]any{}
	for _, m := range made {
		if m.Plan.VF == nil {
			continue
		}
		name := variableName(m.Plan.VF.PF)
		addresses[name] = append(addresses[name], m.Plan.VF.PCIAddress)
		if infos[name] == nil {
			infos[name] = map[string]any{}
		}
		infos[name][m.Plan.VF.PCIAddress] = pciInfo(m)
	}
	for name, list := range addresses {
		info, err := json.Marshal(infos[name])
		if err != nil {
			return nil, fmt.Errorf("encode %s_INFO: %w", name, err)
		}
		env = append(env, Variable{name, strings.Join(list, ",")}, Variable{name + "_INFO", string(info)})
	}
	slices.SortFunc(env, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return env, nil
}

// pciInfo has the keys of the SR-IOV device plugin.
func pciInfo(m publish.Interface) map[string]any {
	info := map[string]any{"generic": map[string]string{"deviceID": m.Plan.VF.PCIAddress}}
	if m.Plan.VF.VFIO {
		info["vfio"] = map[string]string{"mount": vfioControl, "dev-mount": vfioPath + m.Plan.Device.IOMMUGroup}
	}
	return info
}

var notInVariable = strings.NewReplacer(".", "_", "/", "_", "-", "_")

func variableName(pf string) string {
	return "PCIDEVICE_" + strings.ToUpper(notInVariable.Replace(v1alpha1.DriverName+"/"+pf))
}
