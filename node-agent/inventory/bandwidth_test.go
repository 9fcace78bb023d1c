package inventory

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestReadNICs: every NIC is there once, whatever leads to it.
func TestReadNICs(t *testing.T) {
	m := newMachine()
	m.netdev(m.function("pci0000:00", "0000:01:00.0", "igb", "0x8086", "1"), "ens1", nil)
	m.netdev(m.function("pci0000:00", "0000:02:00.0", "igb", "0x8086", "1"), "ens2.7", map[string]string{"speed": "10000", "carrier": "0"})
	m.netdev("", "br0", map[string]string{"speed": "1000"})
	uplink := Device{Kind: v1alpha1.DeviceKindUplink, Interface: "ens1"}
	overlay := func(iface string) Device { return Device{Kind: v1alpha1.DeviceKindOverlay, Interface: iface} }
	vf := func(pf string) Device { return Device{Kind: v1alpha1.DeviceKindVF, PF: pf} }
	br0 := Device{Name: "nic-br0", Kind: v1alpha1.DeviceKindNIC, Interface: "br0", LinkSpeed: 1e9, Bandwidth: 1e9, Promised: 15e8, Carrier: true, MTU: 1500}
	ens2 := Device{Name: deviceName("nic", "ens2.7"), Kind: v1alpha1.DeviceKindNIC, Interface: "ens2.7", LinkSpeed: 1e10, Bandwidth: 1e10, Promised: 1e10, MTU: 1500}
	config, err := ParseConfig([]byte("uplinks: [{name: br0, overcommit: 1.5}]"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ devices, want []Device }{
		"nothing":                    {},
		"an uplink":                  {devices: []Device{uplink}},
		"VFs of an uplink":           {devices: []Device{uplink, vf("ens1"), vf("ens1")}},
		"VFs of a port of a bond":    {devices: []Device{uplink, vf("ens2.7"), vf("ens2.7")}, want: []Device{ens2}},
		"overlay on an uplink":       {devices: []Device{overlay("ens1"), uplink}},
		"overlay elsewhere":          {devices: []Device{uplink, overlay("br0")}, want: []Device{br0}},
		"overlay on the NIC of VFs":  {devices: []Device{vf("br0"), overlay("br0")}, want: []Device{br0}},
		"a NIC that is gone already": {devices: []Device{vf("ens9")}},
	} {
		got, err := ReadNICs(fstest.MapFS(m), config, test.devices)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	m.file(m.dir("br0")+"/mtu", "many")
	if _, err := ReadNICs(fstest.MapFS(m), config, []Device{overlay("br0")}); err == nil || !strings.Contains(err.Error(), "interface br0") {
		t.Errorf("a NIC that cannot be read: %v", err)
	}
}

func TestOvercommit(t *testing.T) {
	m := newMachine()
	m.netdev(m.function("pci0000:00", "0000:01:00.0", "igb", "0x8086", "1"), "ens1", map[string]string{"speed": "10000"})
	for name, test := range map[string]struct {
		config    string
		bandwidth int64
		promised  int64
		problem   string
	}{
		"none":                {config: "{name: other}", bandwidth: 1e10, promised: 1e10},
		"of the link's speed": {config: "{name: ens1, overcommit: 2}", bandwidth: 1e10, promised: 2e10},
		"of a bandwidth":      {config: "{name: 'ens*', bandwidth: 4G, overcommit: 1.5}", bandwidth: 4e9, promised: 6e9},
		"below 1":             {config: "{name: ens1, overcommit: 0.8}", bandwidth: 1e10, promised: 8e9},
		"the least":           {config: "{name: ens1, overcommit: 0.01}", bandwidth: 1e10, promised: 1e8},
		"too little":          {config: "{name: ens1, overcommit: 0.009}", problem: "overcommit 9m is not between 10m and 100"},
		"none at all":         {config: "{name: ens1, overcommit: 0}", problem: "is not between"},
		"negative":            {config: "{name: ens1, overcommit: -1}", problem: "is not between"},
		"too much":            {config: "{name: ens1, overcommit: 101}", problem: "is not between"},
		"a word":              {config: "{name: ens1, overcommit: much}", problem: "configuration"},
	} {
		config, err := ParseConfig([]byte("uplinks: [" + test.config + "]"))
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: error %v, want %q", name, err, test.problem)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		devices, err := Read(fs.FS(fstest.MapFS(m)), config)
		if err != nil || len(devices) != 1 || devices[0].Bandwidth != test.bandwidth || devices[0].Promised != test.promised {
			t.Errorf("%s: %v, %+v", name, err, devices)
		}
	}
}
