package sandboxes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// DeviceInfo is the folder of the files of k8snetworkplumbingwg/device-info-spec, by which programs on the node learn which
// device an interface is: dp/<resource>-<deviceID>-device.json and cni/<network>-<containerID>_<interface>.
type DeviceInfo struct{ Dir string }

// names are the files for the VFs of a sandbox, two for each, and for its interfaces of CNI plugins, of which device plugins write the other.
func (d DeviceInfo) names(sandbox Sandbox, attachments []plan.Attachment) (names []string) {
	for _, a := range attachments {
		if a.VF != nil {
			names = append(names, dpName(v1alpha1.DriverName+"/"+a.VF.PF, a.VF.PCIAddress))
		}
		if a.VF != nil || a.CNI != nil {
			names = append(names, cniName(sandbox, a.Network, a.Interface))
		}
	}
	return names
}

// dpName is the file for a device of an extended resource.
func dpName(resource, deviceID string) string {
	return filepath.Join("dp", fmt.Sprintf("%s-%s-device.json", strings.ReplaceAll(resource, "/", "-"), deviceID))
}

// cniName is the file for an interface.
func cniName(sandbox Sandbox, network, iface string) string {
	return filepath.Join("cni", fmt.Sprintf("%s-%s_%s", network, sandbox.ID, iface))
}

// OfInterface is the path of the file in which CNI plugins find, and may tell, what is known of the device behind an interface.
func (d DeviceInfo) OfInterface(sandbox Sandbox, network, iface string) string {
	return filepath.Join(d.Dir, cniName(sandbox, network, iface))
}

// Begin writes the file of an interface that CNI plugins are about to make: what the device plugin has told of the device that they
// get, or else the address of a PCI device. Otherwise there is no file, and the plugins may write one.
func (d DeviceInfo) Begin(sandbox Sandbox, a plan.Attachment) error {
	path := d.OfInterface(sandbox, a.Network, a.Interface)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("device-info %s: %w", path, err)
	}
	_ = os.Remove(path) // of an attempt before
	device := a.CNI.Device
	if device == nil {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(d.Dir, dpName(device.Resource, device.ID)))
	if info := publish.DeviceInfo(a); errors.Is(err, fs.ErrNotExist) && info != nil {
		content, err = json.Marshal(info)
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.replace(path, content)
	}
	if err != nil {
		return fmt.Errorf("device-info %s: %w", path, err)
	}
	return nil
}

// End reads the file after the plugins are done. It is nil where there is none.
func (d DeviceInfo) End(sandbox Sandbox, a plan.Attachment) (*netstatus.DeviceInfo, error) {
	path := d.OfInterface(sandbox, a.Network, a.Interface)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	info := &netstatus.DeviceInfo{}
	if err == nil {
		err = json.Unmarshal(content, info)
	}
	if err != nil {
		return nil, fmt.Errorf("device-info %s: %w", path, err)
	}
	return info, nil
}

// write writes the files of one sandbox; what was there under a name is replaced, since a file of mode 0444 cannot be written.
func (d DeviceInfo) write(sandbox Sandbox, attachments []plan.Attachment) error {
	for _, a := range attachments {
		if a.VF == nil {
			continue
		}
		info := publish.DeviceInfo(a)
		content, err := json.Marshal(info)
		if err != nil {
			return fmt.Errorf("encode the device-info of %s: %w", a.VF.PCIAddress, err)
		}
		for _, name := range d.names(sandbox, []plan.Attachment{a}) {
			if err := d.replace(filepath.Join(d.Dir, name), content); err != nil {
				return fmt.Errorf("device-info %s: %w", name, err)
			}
		}
	}
	return nil
}

func (d DeviceInfo) replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".unfinished-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o444), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// remove removes files by their names. What is absent is removed.
func (d DeviceInfo) remove(names []string) {
	for _, name := range names {
		_ = os.Remove(filepath.Join(d.Dir, name))
	}
}

// tellDevices writes the files of a sandbox's devices. The pod works without them.
func (k *Keeper) tellDevices(sandbox Sandbox, attachments []plan.Attachment) {
	if err := k.DeviceInfo.write(sandbox, attachments); err != nil {
		k.Log.Error(err, "programs of the node do not learn of the pod's devices", "pod", sandbox.Namespace+"/"+sandbox.Name)
	}
}
