package sandboxes

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

func vfMade(pf, address, group string, vfio bool) publish.Interface {
	return publish.Interface{Plan: plan.Attachment{Device: plan.Device{PF: pf, PCIAddress: address, IOMMUGroup: group},
		VF: &plan.VF{PF: pf, PCIAddress: address, VFIO: vfio}}}
}

func numbers(entry string) (major, minor int64, err error) {
	switch entry {
	case "class/misc/vfio":
		return 10, 196, nil
	case "class/vfio/12":
		return 243, 0, nil
	}
	return 0, 0, errors.New("no such file")
}

func TestContainer(t *testing.T) {
	k := &Keeper{Options: Options{Numbers: numbers}}
	for name, test := range map[string]struct {
		made []publish.Interface
		want Container
	}{
		"without VFs": {[]publish.Interface{{Plan: plan.Attachment{Device: plan.Device{PCIAddress: "0000:3b:00.0"}}}}, Container{}},
		"two of one PF, in the order of selection": {
			[]publish.Interface{vfMade("ens9", "0000:01:10.2", "14", false), vfMade("ens9", "0000:01:10.0", "12", false)},
			Container{Env: []Variable{{"PCIDEVICE_MULTINET_DEV_ENS9", "0000:01:10.2,0000:01:10.0"},
				{"PCIDEVICE_MULTINET_DEV_ENS9_INFO", `{"0000:01:10.0":{"generic":{"deviceID":"0000:01:10.0"}},"0000:01:10.2":{"generic":{"deviceID":"0000:01:10.2"}}}`}}},
		},
		"vfio beside another PF": {
			[]publish.Interface{vfMade("ens1f0.v-1", "0000:01:10.0", "12", true), vfMade("ens9", "0000:02:10.0", "13", false)},
			Container{
				Env: []Variable{{"PCIDEVICE_MULTINET_DEV_ENS1F0_V_1", "0000:01:10.0"},
					{"PCIDEVICE_MULTINET_DEV_ENS1F0_V_1_INFO", `{"0000:01:10.0":{"generic":{"deviceID":"0000:01:10.0"},"vfio":{"dev-mount":"/dev/vfio/12","mount":"/dev/vfio/vfio"}}}`},
					{"PCIDEVICE_MULTINET_DEV_ENS9", "0000:02:10.0"},
					{"PCIDEVICE_MULTINET_DEV_ENS9_INFO", `{"0000:02:10.0":{"generic":{"deviceID":"0000:02:10.0"}}}`}},
				Devices: []CharacterDevice{{"/dev/vfio/12", 243, 0}, {"/dev/vfio/vfio", 10, 196}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := k.containerOf(test.made)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	if _, err := k.containerOf([]publish.Interface{vfMade("ens9", "0000:01:10.0", "99", true)}); err == nil || !strings.Contains(err.Error(), "device /dev/vfio/99: no such file") {
		t.Errorf("error %v", err)
	}
}
