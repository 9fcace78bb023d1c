package dra

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/node-agent/inventory"
)

// The device of CNI plugins tells which there are, and is for any number of pods. It has room for nothing else.
func TestDeviceOfPlugins(t *testing.T) {
	kind, there := "CNI", true
	node := Node{Devices: []inventory.Device{inventory.CNIDevice([]string{"bridge", "host-local"})}, Topology: map[string]string{"topology.multinet.dev/rack": "r1"}}
	got := resources("n1", node).Pools["n1"].Slices[0].Devices
	want := []resourceapi.Device{{Name: "cni", AllowMultipleAllocations: &there, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"kind": {StringValue: &kind}, "cni.multinet.dev/bridge": {BoolValue: &there}, "cni.multinet.dev/host_local": {BoolValue: &there},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
