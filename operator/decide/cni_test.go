package decide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func pluginNetwork(config string) *v1alpha1.Network {
	n := &v1alpha1.Network{Spec: v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeCNI, CNI: &v1alpha1.CNISpec{Config: config}}}
	n.Name = "lan"
	return n
}

const lanConfig = `{"name": "lan", "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "tuning"}]}`

// TestPluginSelection asks the scheduler's own CEL as well.
func TestPluginSelection(t *testing.T) {
	there := true
	for name, c := range map[string]struct {
		kind    string
		plugins []string
		want    bool
	}{
		"all":            {"CNI", []string{"bridge", "host_local", "tuning"}, true},
		"and more":       {"CNI", []string{"bridge", "host_local", "portmap", "tuning"}, true},
		"one is missing": {"CNI", []string{"bridge", "tuning"}, false},
		"none":           {"CNI", nil, false},
		"something else": {"Uplink", []string{"bridge", "host_local", "tuning"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			device := resourcev1.Device{Name: "cni", Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"kind": {StringValue: &c.kind}}}
			for _, p := range c.plugins {
				device.Attributes[resourcev1.QualifiedName("cni.multinet.dev/"+p)] = resourcev1.DeviceAttribute{BoolValue: &there}
			}
			network := pluginNetwork(lanConfig)
			wantDevice(t, network, device, c.want)
		})
	}
}

func TestCheckPlugins(t *testing.T) {
	for config, want := range map[string]string{
		lanConfig:                        "",
		`{"type": "bridge"}`:             "spec.cni.config line 1, column 1: name is missing",
		`{"name": "lan", "type": "a/b"}`: "spec.cni.config line 1, column 25: type: the name of a CNI plugin is needed",
		`{"name": "lan"`:                 "spec.cni.config line 1, column 15: is not JSON: unexpected end of JSON input",
	} {
		err := CheckNetwork(pluginNetwork(config))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	without := pluginNetwork(lanConfig)
	without.Spec.CNI = nil
	if err := CheckNetwork(without); err == nil || !strings.Contains(err.Error(), "spec.cni is missing") {
		t.Error(err)
	}
}

// A Network of plugins that no node may run says which, and what to do.
func TestNoPlugins(t *testing.T) {
	ready := meta.FindStatusCondition(NetworkStatus(NetworkFacts{Network: pluginNetwork(lanConfig)}).Conditions, v1alpha1.NetworkConditionReady)
	if ready.Reason != v1alpha1.ReasonNoUplink || !strings.Contains(ready.Message, "CNI plugins bridge, host-local, tuning") || !strings.Contains(ready.Message, "cniPlugins") {
		t.Errorf("%+v", ready)
	}
}

// The plugins choose addresses and MAC, so that nobody else does.
func TestAttachmentByPlugins(t *testing.T) {
	n := pluginNetwork(lanConfig)
	asked := &v1alpha1.CNIArguments{MAC: "02:00:00:00:00:01"}
	got := Attachment(podSelecting("lan"), Planned{Selection: selection.Selection{Interface: "net1", PodClaimName: "multinet-lan-0"}, Network: n, CNIArguments: asked}, nil)
	if diff := cmp.Diff(asked, got.Spec.CNIArguments); diff != "" {
		t.Error(diff)
	}
	if got.Spec.MAC != "" || got.Spec.CNI == nil || got.Spec.CNI == n.Spec.CNI || got.Spec.CNI.Config != lanConfig || got.Spec.Type != v1alpha1.NetworkTypeCNI {
		t.Errorf("%+v", got.Spec)
	}
	claim := &v1alpha1.AddressClaim{Spec: v1alpha1.AddressClaimSpec{NetworkName: "lan", PodName: "p", MAC: "02:00:00:00:00:09"}}
	if refusal := CheckClaim(claim, n, nil); refusal == nil || !strings.Contains(refusal.Message, "CNI plugins choose the addresses and the MAC") {
		t.Errorf("%+v", refusal)
	}
}
