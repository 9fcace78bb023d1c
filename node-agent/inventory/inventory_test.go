package inventory

import (
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

func ptr[T any](v T) *T { return &v }

func read(t *testing.T, m machine, config string) []Device {
	t.Helper()
	parsed, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	devices, err := Read(fstest.MapFS(m), parsed)
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func names(devices []Device) string {
	var list []string
	for _, device := range devices {
		list = append(list, device.Interface)
	}
	return strings.Join(list, " ")
}

// A server with two sockets: a dual port NIC behind a bridge, and one that is down.
func TestServer(t *testing.T) {
	m := newMachine()
	m.netdev("", "lo", map[string]string{"type": "772", "mtu": "65536"})
	nic := m.function("pci0000:3a/0000:3a:00.0", "0000:3b:00.1", "mlx5_core", "0x15b3", "1")
	m.netdev(nic, "ens1f1np1", map[string]string{"mtu": "9000", "speed": "25000", "address": "04:3f:72:00:00:01"})
	down := m.function("pci0000:00", "0000:00:1f.6", "e1000e", "0x8086", "-1")
	m.netdev(down, "eno1", map[string]string{"carrier": "", "speed": ""})
	want := []Device{
		{
			Name: "uplink-eno1", Kind: v1alpha1.DeviceKindUplink, Interface: "eno1", Driver: "e1000e", Vendor: "0x8086",
			PCIAddress: "0000:00:1f.6", PCIeRoot: "pci0000:00", MAC: "02:00:00:00:00:01", MTU: 1500,
		},
		{
			Name: "uplink-ens1f1np1", Kind: v1alpha1.DeviceKindUplink, Interface: "ens1f1np1", Driver: "mlx5_core", Vendor: "0x15b3",
			PCIAddress: "0000:3b:00.1", PCIeRoot: "pci0000:3a", NUMANode: ptr(1),
			LinkSpeed: 25_000_000_000, Bandwidth: 25_000_000_000, Promised: 25_000_000_000, Carrier: true, MAC: "04:3f:72:00:00:01", MTU: 9000,
		},
	}
	if diff := cmp.Diff(want, read(t, m, "")); diff != "" {
		t.Errorf("devices differ (-want +got):\n%s", diff)
	}
}

// A NIC that the kernel has brought home from a pod is offered under its own name, until it is what it was.
func TestNICOfAPodIsNoUplink(t *testing.T) {
	m := newMachine()
	for name, alias := range map[string]string{"net1": plan.NICMark("eth1"), "eth2": "to the lab"} {
		m.netdev(m.function("pci0000:00", "0000:00:0"+name[3:]+".0", "e1000e", "0x8086", "-1"), name, map[string]string{"ifalias": alias})
	}
	if got := names(read(t, m, "")); got != "eth2" {
		t.Errorf("uplinks %s", got)
	}
}

// The PCI function of a virtio NIC is a level above its device; one on an MMIO bus has none; a USB NIC's is far above.
func TestDevicesBehindOtherBuses(t *testing.T) {
	m := newMachine()
	function := m.function("pci0000:00", "0000:00:03.0", "virtio-pci", "0x1af4", "0")
	virtio := function + "/virtio2"
	m.folder("bus/virtio/drivers/virtio_net")
	m.link(virtio+"/driver", "bus/virtio/drivers/virtio_net")
	m.netdev(virtio, "eth0", map[string]string{"speed": "-1"})
	m.folder("devices/platform/a0001000.virtio_mmio/virtio1")
	m.netdev("devices/platform/a0001000.virtio_mmio/virtio1", "eth1", nil)

	devices := read(t, m, "")
	if len(devices) != 2 {
		t.Fatalf("devices %+v", devices)
	}
	eth0, eth1 := devices[0], devices[1]
	if eth0.Driver != "virtio_net" || eth0.PCIAddress != "0000:00:03.0" || eth0.PCIeRoot != "pci0000:00" || eth0.Vendor != "0x1af4" ||
		eth0.NUMANode == nil || *eth0.NUMANode != 0 || eth0.LinkSpeed != 0 {
		t.Errorf("eth0: %+v", eth0)
	}
	if eth1.PCIAddress != "" || eth1.PCIeRoot != "" || eth1.NUMANode != nil || eth1.Driver != "" {
		t.Errorf("eth1: %+v", eth1)
	}
}

// crowded is a node with all that is found beside its NICs.
func crowded() machine {
	m := newMachine()
	m.netdev("", "lo", map[string]string{"type": "772"})
	nics := m.function("pci0000:00", "0000:00:03.0", "ice", "0x8086", "0")
	m.netdev(nics, "eth0", nil)
	m.netdev(nics, "eth1", nil)
	m.netdev(nics, "eth2", nil)
	m.netdev(nics, "eth3", nil)
	m.netdev(nics, "wlan0", map[string]string{"uevent": "DEVTYPE=wlan\nINTERFACE=wlan0"})
	m.netdev(nics, "ib0", map[string]string{"type": "32"})

	vf := m.function("pci0000:00", "0000:00:03.1", "iavf", "0x8086", "0")
	m.link(vf+"/physfn", nics)
	m.netdev(vf, "eth0v0", nil)

	m.virtual("bond0", "bond")
	m.enslave("eth2", "bond0")
	m.enslave("eth3", "bond0")
	m.virtual("bond0.7", "vlan", "bond0")
	m.virtual("eth1.100", "vlan", "eth1")
	m.file(m.dir("eth1.100")+"/netdev_group", strconv.Itoa(plan.LinkGroup))
	m.virtual("bond9", "bond")

	m.virtual("cni0", "bridge")
	m.virtual("veth12ab34cd", "")
	m.enslave("veth12ab34cd", "cni0")
	m.folder(m.dir("veth12ab34cd") + "/brport")
	m.virtual("veth56ef", "")
	m.virtual("vlan5", "vlan", "veth56ef")
	m.virtual("calia1b2c3", "")
	m.virtual("flannel.1", "vxlan")
	m.virtual("docker0", "bridge")
	m.virtual("mv0", "macvlan", "eth1")
	m.netdev("", "tunl0", map[string]string{"type": "768"})
	m.virtual("eth9", "") // the end of a cable, as kind's nodes have it
	return m
}

func TestWhatIsAnUplink(t *testing.T) {
	for name, test := range map[string]struct{ config, want string }{
		"without configuration":   {"", "bond0 bond0.7 eth0 eth1"},
		"by name":                 {"uplinks: [{name: eth9}]", "bond0 bond0.7 eth0 eth1 eth9"},
		"by pattern":              {"uplinks: [{name: 'eth[5-9]'}]", "bond0 bond0.7 eth0 eth1 eth9"},
		"a pattern for anything":  {"uplinks: [{name: '*'}]", "bond0 bond0.7 bond9 eth0 eth1 eth9 vlan5"},
		"a pod's veth by name":    {"uplinks: [{name: veth56ef}]", "bond0 bond0.7 eth0 eth1 veth56ef"},
		"a port of a bridge":      {"uplinks: [{name: veth12ab34cd}]", "bond0 bond0.7 eth0 eth1"},
		"a link of a bond":        {"uplinks: [{name: eth2}]", "bond0 bond0.7 eth0 eth1"},
		"a virtual function":      {"uplinks: [{name: eth0v0}]", "bond0 bond0.7 eth0 eth1"},
		"lo":                      {"uplinks: [{name: lo}]", "bond0 bond0.7 eth0 eth1"},
		"our own VLAN":            {"uplinks: [{name: eth1.100}]", "bond0 bond0.7 eth0 eth1"},
		"what is not there (yet)": {"uplinks: [{name: eth7}]", "bond0 bond0.7 eth0 eth1"},
	} {
		if got := names(read(t, crowded(), test.config)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestBandwidth(t *testing.T) {
	m := newMachine()
	function := m.function("pci0000:00", "0000:00:03.0", "ice", "0x8086", "0")
	m.netdev(function, "fast", map[string]string{"speed": "10000"})
	m.netdev(function, "unknown", map[string]string{"speed": "-1"})
	m.netdev(function, "absurd", map[string]string{"speed": "4294967295"})
	for name, test := range map[string]struct {
		config string
		want   map[string][2]int64
	}{
		"as reported": {"", map[string][2]int64{"fast": {1e10, 1e10}, "unknown": {0, 0}, "absurd": {0, 0}}},
		"configured": {"uplinks: [{name: fast, bandwidth: 4G}, {name: unknown, bandwidth: '2500000000'}, {name: '*', bandwidth: 1G}]",
			map[string][2]int64{"fast": {1e10, 4e9}, "unknown": {25e8, 25e8}, "absurd": {1e9, 1e9}}},
	} {
		for _, device := range read(t, m, test.config) {
			if got := [2]int64{device.LinkSpeed, device.Bandwidth}; got != test.want[device.Interface] {
				t.Errorf("%s: %s has speed and bandwidth %v, want %v", name, device.Interface, got, test.want[device.Interface])
			}
		}
	}
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func TestDeviceNames(t *testing.T) {
	seen := map[string]string{}
	for _, iface := range []string{"eth1", "eth1.5", "eth1-5", "eth1_5", "ETH1", "Eth1", "-", ".", "_", "a-", "-a", "a", "ä", "enp129s0f1np1.99", "abcdefghijklmno"} {
		name := deviceName("uplink", iface)
		if !dnsLabel.MatchString(name) || seen[name] != "" {
			t.Errorf("device of %q is named %q, which is no DNS label or that of %q", iface, name, seen[name])
		}
		seen[name] = iface
	}
	if got := deviceName("uplink", "eth1"); got != "uplink-eth1" {
		t.Errorf("got %q", got)
	}
}

func FuzzDeviceName(f *testing.F) {
	for _, name := range []string{"eth1", "eth1.5", "-", "Ä-0"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, iface string) {
		if len(iface) > 15 {
			return
		}
		if name := deviceName("uplink", iface); !dnsLabel.MatchString(name) {
			t.Errorf("%q gives %q", iface, name)
		}
	})
}

func TestParseConfig(t *testing.T) {
	for name, test := range map[string]struct{ text, problem string }{
		"empty":              {"", ""},
		"comments only":      {"# nothing\n", ""},
		"one":                {"uplinks:\n- name: eth1\n  bandwidth: 10G\n", ""},
		"unknown field":      {"uplinks: [{name: eth1, bandwidths: 10G}]", `unknown field "bandwidths"`},
		"unknown top field":  {"uplink: []", `unknown field "uplink"`},
		"field twice":        {"uplinks: []\nuplinks: []", "already set"},
		"not YAML":           {"uplinks: [", "configuration: "},
		"a list":             {"- eth1", "configuration: "},
		"no name":            {"uplinks: [{bandwidth: 10G}]", `uplinks[0] "": name is missing`},
		"malformed pattern":  {"uplinks: [{name: eth1}, {name: 'eth['}]", `uplinks[1] "eth[": name is a malformed pattern`},
		"path":               {"uplinks: [{name: ../eth1}]", "neither the name of an interface nor a pattern"},
		"bandwidth text":     {"uplinks: [{name: eth1, bandwidth: fast}]", "configuration: "},
		"bandwidth zero":     {"uplinks: [{name: eth1, bandwidth: 0}]", "bandwidth 0 is not greater than 0"},
		"bandwidth negative": {"uplinks: [{name: eth1, bandwidth: -1G}]", "bandwidth -1G is not greater than 0"},
	} {
		_, err := ParseConfig([]byte(test.text))
		if test.problem == "" && err != nil || test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) {
			t.Errorf("%s: error %v, want %q", name, err, test.problem)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("uplinks: [{name: 'eth*', bandwidth: 10G}]")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := ParseConfig([]byte(text))
		if err != nil {
			return
		}
		if _, err := Read(fstest.MapFS(crowded()), config); err != nil {
			t.Error(err)
		}
	})
}

// vanishing is a machine of which interfaces go between being listed and being read.
type vanishing struct{ before, after fstest.MapFS }

func (v vanishing) Open(name string) (fs.File, error) {
	if name == netClass {
		return v.before.Open(name)
	}
	return v.after.Open(name)
}

func (v vanishing) ReadLink(name string) (string, error)   { return v.after.ReadLink(name) }
func (v vanishing) Lstat(name string) (fs.FileInfo, error) { return v.after.Lstat(name) }

func TestInterfaceVanishes(t *testing.T) {
	without := newMachine()
	without.netdev(without.function("pci0000:00", "0000:00:03.0", "ice", "0x8086", "0"), "eth1", nil)
	devices, err := Read(vanishing{fstest.MapFS(crowded()), fstest.MapFS(without)}, Config{})
	if err != nil || names(devices) != "eth1" {
		t.Errorf("got %v, %v", devices, err)
	}
	if _, err := Read(fstest.MapFS{}, Config{}); err == nil {
		t.Error("no error without a /sys")
	}
}

// The machine that the test runs on must be readable as well; what it has is not known here.
func TestThisMachine(t *testing.T) {
	for _, open := range map[string]func() (fs.FS, error){
		"DirFS": func() (fs.FS, error) { return os.DirFS("/sys"), nil },
		"Root": func() (fs.FS, error) {
			root, err := os.OpenRoot("/sys")
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { _ = root.Close() })
			return root.FS(), nil
		},
	} {
		sys, err := open()
		if err != nil {
			t.Fatal(err)
		}
		devices, err := Read(sys, Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, device := range devices {
			if device.Interface == "lo" || device.MTU == 0 || device.MAC == "" {
				t.Errorf("device %+v", device)
			}
			t.Logf("%+v", device)
		}
	}
}

func TestRealPathOfALoop(t *testing.T) {
	loop := fstest.MapFS{"a": {Data: []byte("b"), Mode: fs.ModeSymlink}, "b": {Data: []byte("a"), Mode: fs.ModeSymlink}}
	if got, err := realPath(loop, "a"); err == nil {
		t.Errorf("got %q", got)
	}
}
