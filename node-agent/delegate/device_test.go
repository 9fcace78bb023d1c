package delegate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// told is what a plugin was told of its device.
type told struct {
	DeviceID      string `json:"deviceID"`
	PCIBusID      string `json:"pciBusID"`
	RuntimeConfig struct {
		DeviceID string `json:"deviceID"`
		File     string `json:"CNIDeviceInfoFile"`
	} `json:"runtimeConfig"`
	// Content of the file.
	Content string
}

// recorder notes what it reads, and the content of the file of device-info.
const recorder = `cat >%[1]s/%[2]s.$CNI_COMMAND
cat %[1]s/devinfo/cni/lan-box_net1 >%[1]s/%[2]s.$CNI_COMMAND.info 2>/dev/null
%[3]s
echo '{"cniVersion": "1.1.0"}'`

func (l *lab) toldOfDevice(plugin, verb string) (t told) {
	l.t.Helper()
	text, err := os.ReadFile(l.path(plugin + "." + verb))
	l.must(err)
	l.must(json.Unmarshal(text, &t))
	content, _ := os.ReadFile(l.path(plugin + "." + verb + ".info"))
	t.Content = strings.TrimSpace(string(content))
	return t
}

const nicInfo = `{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:3b:00.1","pf-pci-address":"0000:3b:00.0"}}`

// TestPluginsGetTheDevice: every verb tells it to every plugin of the chain, and an agent that starts anew does too.
func TestPluginsGetTheDevice(t *testing.T) {
	const basic = `{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:3b:00.1"}}`
	pci := func(of string) *netstatus.DeviceInfo {
		info := &netstatus.DeviceInfo{}
		if err := json.Unmarshal([]byte(of), info); err != nil {
			t.Fatal(err)
		}
		return info
	}
	for name, c := range map[string]struct {
		id string
		// fromDevicePlugin is the file of the device plugin, fromPlugin that which the CNI plugin writes.
		fromDevicePlugin, fromPlugin string
		bus, content                 string
		want                         *netstatus.DeviceInfo
	}{
		"a PCI device":           {id: "0000:3b:00.1", bus: "0000:3b:00.1", content: basic, want: pci(basic)},
		"told by device plugin":  {id: "0000:3b:00.1", fromDevicePlugin: nicInfo, bus: "0000:3b:00.1", content: nicInfo, want: pci(nicInfo)},
		"no PCI device":          {id: "nic-7"},
		"told by the CNI plugin": {id: "nic-7", fromPlugin: `{"type":"memif","version":"1.1.0","memif":{"role":"slave"}}`, want: pci(`{"type":"memif","version":"1.1.0","memif":{"role":"slave"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil, nil)
			write := ""
			if c.fromPlugin != "" {
				write = fmt.Sprintf("test $CNI_COMMAND = ADD && echo '%s' >%s/devinfo/cni/lan-box_net1", c.fromPlugin, l.dir)
			}
			for plugin, more := range map[string]string{"first": write, "second": ""} {
				l.must(os.WriteFile(filepath.Join(l.path("bin"), plugin), []byte("#!/bin/sh\n"+fmt.Sprintf(recorder, l.dir, plugin, more)), 0o755)) //nolint:gosec // It is a program.
			}
			l.must(os.MkdirAll(l.path("devinfo/dp"), 0o755))
			if c.fromDevicePlugin != "" {
				l.must(os.WriteFile(l.path("devinfo/dp/intel.com-nic-"+c.id+"-device.json"), []byte(c.fromDevicePlugin), 0o600))
			}
			allowed := []string{"first", "second"}
			l.restart(allowed)
			a := l.attachment(`{"cniVersion": "1.1.0", "name": "lan", "plugins": [{"type": "first", "capabilities": {"deviceID": true, "CNIDeviceInfoFile": true}}, {"type": "second"}]}`)
			a.CNI.Device = &plan.PluginDevice{Resource: "intel.com/nic", ID: c.id}
			made, _, err := l.Add(t.Context(), l.sandbox, a)
			l.must(err)
			if diff := cmp.Diff(c.want, made.DeviceInfo); diff != "" {
				t.Errorf("device-info (-want +got):\n%s", diff)
			}
			l.restart(allowed)
			if again, ok := l.Made(l.sandbox, a); !ok || cmp.Diff(c.want, again.DeviceInfo) != "" {
				t.Errorf("after a restart: %+v", again.DeviceInfo)
			}
			l.must(l.Check(t.Context(), l.sandbox, a))
			l.restart(allowed)
			l.must(l.Prune(t.Context(), none)) // of the record alone
			for _, verb := range []string{"ADD", "CHECK", "DEL"} {
				first, second := l.toldOfDevice("first", verb), l.toldOfDevice("second", verb)
				if first.DeviceID != c.id || second.DeviceID != c.id || first.PCIBusID != c.bus || second.PCIBusID != c.bus ||
					first.RuntimeConfig.DeviceID != c.id || second.RuntimeConfig.DeviceID != "" ||
					first.RuntimeConfig.File != l.path("devinfo/cni/lan-box_net1") || second.RuntimeConfig.File != "" {
					t.Errorf("%s: the first was told %+v, the second %+v", verb, first, second)
				}
			}
			if got := l.toldOfDevice("first", "ADD").Content; got != c.content {
				t.Errorf("the plugin reads %s, want %s", got, c.content)
			}
		})
	}
}

// Device-info that cannot be read fails the pod: it would tell its readers of no device, or of another.
func TestDeviceInfoThatIsNone(t *testing.T) {
	l := newLab(t, []string{"first"}, map[string]string{"first": `test $CNI_COMMAND = ADD && echo no >` + "$(dirname $0)" + `/../devinfo/cni/lan-box_net1
echo '{"cniVersion": "1.1.0"}'`})
	a := l.attachment(`{"cniVersion": "1.1.0", "name": "lan", "type": "first"}`)
	_, _, err := l.Add(t.Context(), l.sandbox, a)
	l.fails("device-info", err)
	l.nothingLeft()
}
