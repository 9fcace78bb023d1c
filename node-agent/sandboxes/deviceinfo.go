package sandboxes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// DeviceInfo is the folder of the files of k8snetworkplumbingwg/device-info-spec, by which programs on the node learn which
// device an interface is: dp/<resource>-<deviceID>-device.json and cni/<network>-<containerID>_<interface>.
type DeviceInfo struct{ Dir string }

// names are the files for the VFs of a sandbox, two for each.
func (d DeviceInfo) names(sandbox Sandbox, attachments []plan.Attachment) (names []string) {
	for _, a := range attachments {
		if a.VF == nil {
			continue
		}
		resource := strings.ReplaceAll(v1alpha1.DriverName+"/"+a.VF.PF, "/", "-")
		names = append(names,
			filepath.Join("dp", fmt.Sprintf("%s-%s-device.json", resource, a.VF.PCIAddress)),
			filepath.Join("cni", fmt.Sprintf("%s-%s_%s", a.Network, sandbox.ID, a.Interface)))
	}
	return names
}

// write writes the files of one sandbox; what was there under a name is replaced, since a file of mode 0444 cannot be written.
func (d DeviceInfo) write(sandbox Sandbox, attachments []plan.Attachment) error {
	for _, a := range attachments {
		info := publish.DeviceInfo(a)
		if info == nil {
			continue
		}
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
