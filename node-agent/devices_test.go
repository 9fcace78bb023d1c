package main

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// sysfs has the interface eth0, which has no hardware behind it.
func sysfs() fstest.MapFS {
	sys := fstest.MapFS{}
	for name, value := range map[string]string{
		"type": "1", "mtu": "1500", "address": "02:00:00:00:00:01", "carrier": "1", "speed": "10000", "netdev_group": "0", "uevent": "INTERFACE=eth0",
	} {
		sys["class/net/eth0/"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
	return sys
}

func TestReadDevices(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.1")
	rack := map[string]string{"topology.multinet.dev/rack": "r1", "other": "label"}
	boom := errors.New("boom")
	overlay := []inventory.Device{{Name: "overlay", Kind: "Overlay", Interface: "eth0", LinkSpeed: 1e10, Bandwidth: 1e10, Promised: 1e10, Carrier: true, MTU: 1500}}
	overlay = append(overlay, overlay[0])
	overlay[1].Name, overlay[1].Kind = "nic-eth0", "NIC"
	topology := map[string]string{"topology.multinet.dev/rack": "r1"}
	for name, test := range map[string]struct {
		place   watch.Place
		known   bool
		holder  string
		failure error
		plugins []string
		lent    []plan.Attachment
		want    dra.Node
		problem string
	}{
		"node not known": {holder: "eth0", want: dra.Node{Topology: map[string]string{}, Unplaced: true}},
		"CNI plugins": {plugins: []string{"bridge"}, want: dra.Node{Topology: map[string]string{}, Unplaced: true,
			Devices: []inventory.Device{{Name: "cni", Kind: "CNI", Plugins: []string{"bridge"}, Carrier: true}}}},
		"NIC that a pod has": {lent: []plan.Attachment{{
			Device:     plan.Device{Name: "uplink-eth7", Uplink: "eth7", LinkSpeed: 25e9},
			HostDevice: &plan.HostDevice{Interface: "eth7", Before: &plan.NICState{MTU: 9000}},
		}}, want: dra.Node{Topology: map[string]string{}, Unplaced: true, Devices: []inventory.Device{
			{Name: "uplink-eth7", Kind: "Uplink", Interface: "eth7", LinkSpeed: 25e9, Bandwidth: 25e9, Promised: 25e9, Carrier: true, MTU: 9000},
		}}},
		"node without an address":  {place: watch.Place{Labels: rack}, known: true, holder: "eth0", want: dra.Node{Topology: topology}},
		"address on eth0":          {place: watch.Place{Labels: rack, Address: own}, known: true, holder: "eth0", want: dra.Node{Devices: overlay, Topology: topology}},
		"address on no interface":  {place: watch.Place{Labels: rack, Address: own}, known: true, want: dra.Node{Topology: topology}},
		"interface gone meanwhile": {place: watch.Place{Labels: rack, Address: own}, known: true, holder: "eth7", want: dra.Node{Topology: topology}},
		"addresses not readable":   {place: watch.Place{Labels: rack, Address: own}, known: true, failure: boom, problem: "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			reader := deviceReader{
				sys:     sysfs(),
				place:   func() (watch.Place, bool) { return test.place, test.known },
				plugins: func() []string { return test.plugins },
				lent:    func() []plan.Attachment { return test.lent },
				holder: func(address netip.Addr) (string, bool, error) {
					return test.holder, address == own && test.holder != "", test.failure
				},
			}
			got, err := reader.read()
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("error %v, want %q", err, test.problem)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := (deviceReader{sys: fstest.MapFS{}}).read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a /sys: %v", err)
	}
}
