package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestTopology(t *testing.T) {
	labels := map[string]string{
		"topology.multinet.dev/rack": "r1", "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "",
		"example.com/row": "7", "example.com/aisle": "b",
	}
	for name, test := range map[string]struct {
		config string
		labels map[string]string
		want   map[string]string
	}{
		"no labels": {"topologyKeys: [example.com/row]", nil, map[string]string{}},
		"always known": {"", labels, map[string]string{
			"topology.multinet.dev/rack": "r1", "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z"}},
		"and configured": {"topologyKeys: [example.com/row, example.com/none]", labels, map[string]string{
			"topology.multinet.dev/rack": "r1", "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z", "example.com/row": "7"}},
	} {
		config, err := ParseConfig([]byte(test.config))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, config.Topology(test.labels)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func manyKeys(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("example.com/k%d", i))
	}
	return "topologyKeys: [" + strings.Join(keys, ", ") + "]"
}

func TestTopologyKeys(t *testing.T) {
	for name, test := range map[string]struct{ text, problem string }{
		"none":                {"topologyKeys: []", ""},
		"twelve":              {manyKeys(12), ""},
		"thirteen":            {manyKeys(13), "topologyKeys: 13 keys, at most 12"},
		"always known anyway": {"topologyKeys: [kubernetes.io/hostname, topology.multinet.dev/rack]", ""},
		"twice":               {"topologyKeys: [a.b/c, a.b/c]", `topologyKeys[1] "a.b/c": has the device attribute of "a.b/c"`},
		"known key twice":     {"topologyKeys: [kubernetes.io/hostname, kubernetes.io/hostname]", `topologyKeys[1] "kubernetes.io/hostname": has`},
		"one attribute":       {"topologyKeys: [a.b/c-d, a.b/c.d]", `topologyKeys[1] "a.b/c.d": has the device attribute of "a.b/c-d"`},
		"no domain":           {"topologyKeys: [rack]", `topologyKeys[0] "rack": is not a label's key of the form domain/name`},
		"number first":        {"topologyKeys: [a.b/1st]", "is not a label's key"},
		"long name":           {"topologyKeys: [a.b/" + strings.Repeat("n", 33) + "]", "is not a label's key"},
		"two slashes":         {"topologyKeys: [a/b/c]", "is not a label's key"},
		"of our devices":      {"topologyKeys: [multinet.dev/kind]", "names of the domain multinet.dev are attributes"},
		"rack of our devices": {"topologyKeys: [multinet.dev/rack]", "names of the domain multinet.dev are attributes"},
		"of all devices":      {"topologyKeys: [resource.kubernetes.io/pcieRoot]", "names of the domain resource.kubernetes.io are attributes"},
		"no list":             {"topologyKeys: example.com/row", "configuration: "},
	} {
		_, err := ParseConfig([]byte(test.text))
		if test.problem == "" && err != nil || test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) {
			t.Errorf("%s: error %v, want %q", name, err, test.problem)
		}
	}
}

func TestReadOverlay(t *testing.T) {
	m := crowded()
	m.netdev("", "br0", map[string]string{"uevent": "DEVTYPE=bridge", "mtu": "9000", "speed": "10000"})
	m.netdev("", "down", map[string]string{"carrier": "", "speed": ""})
	overlay := func(iface string, mtu int, speed, bandwidth int64, carrier bool) Device {
		return Device{Name: "overlay", Kind: v1alpha1.DeviceKindOverlay, Interface: iface, MTU: mtu, LinkSpeed: speed, Bandwidth: bandwidth, Promised: bandwidth, Carrier: carrier}
	}
	for name, test := range map[string]struct {
		config string
		want   Device
	}{
		"as the link says":       {"", overlay("br0", 9000, 1e10, 1e10, true)},
		"configured":             {"uplinks: [{name: br0, bandwidth: 4G}]", overlay("br0", 9000, 1e10, 4e9, true)},
		"configured for another": {"uplinks: [{name: eth0, bandwidth: 4G}]", overlay("br0", 9000, 1e10, 1e10, true)},
		"by pattern":             {"uplinks: [{name: '*', bandwidth: 4G}]", overlay("br0", 9000, 1e10, 4e9, true)},
		"without a carrier":      {"uplinks: [{name: down, bandwidth: 1G}]", overlay("down", 1500, 1e9, 1e9, false)},
	} {
		config, err := ParseConfig([]byte(test.config))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadOverlay(fstest.MapFS(m), config, test.want.Interface)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if got, err := ReadOverlay(fstest.MapFS(m), Config{}, "eth7"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an interface that is not there: %v, %v", got, err)
	}
}

// TestTopologyKeysAsInTheAPI keeps the two patterns alike: a key that a Network can have must be one that agents take.
func TestTopologyKeysAsInTheAPI(t *testing.T) {
	crd, err := os.ReadFile("../../manifests/crds/multinet.dev_networks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := "pattern: " + topologyKey.String() + "\n"; !strings.Contains(string(crd), want) {
		t.Errorf("the Network's CRD lacks %q", want)
	}
}
