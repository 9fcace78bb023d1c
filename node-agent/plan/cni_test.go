package plan

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestPlanOfPlugins(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.PodNetworkAttachmentSpec)
		want   string
	}{
		"good":             {func(*v1alpha1.PodNetworkAttachmentSpec) {}, ""},
		"no configuration": {func(s *v1alpha1.PodNetworkAttachmentSpec) { s.CNI = nil }, `spec.cni "": is missing`},
		"a class":          {func(s *v1alpha1.PodNetworkAttachmentSpec) { s.QoS = &v1alpha1.ResolvedQoS{} }, "cannot be had with CNI plugins"},
		"the name of eth0": {func(s *v1alpha1.PodNetworkAttachmentSpec) { s.Interface = "eth0" }, "is taken in every pod"},
		"no network":       {func(s *v1alpha1.PodNetworkAttachmentSpec) { s.NetworkName = "" }, "spec.networkName"},
	} {
		t.Run(name, func(t *testing.T) {
			pna := &v1alpha1.PodNetworkAttachment{Spec: v1alpha1.PodNetworkAttachmentSpec{
				NetworkName: "lan", Interface: "net1", Type: v1alpha1.NetworkTypeCNI, CNI: &v1alpha1.CNISpec{Config: `{"name": "lan"}`},
			}}
			pna.Name = "a"
			c.change(&pna.Spec)
			got, err := FromAttachment(pna, Device{Name: "cni"}, nil)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			want := Attachment{Name: "a", Network: "lan", Interface: "net1", Device: Device{Name: "cni"}, CNI: &CNI{Config: `{"name": "lan"}`}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// It comes back from the ledger, without a MAC.
			text, err := json.Marshal(got)
			var back Attachment
			if err == nil {
				err = json.Unmarshal(text, &back)
			}
			if diff := cmp.Diff(want, back); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Arguments come to the plugins whole, or the attachment is refused.
func TestArgumentsOfPlugins(t *testing.T) {
	const config = `{"name": "lan", "plugins": [{"type": "bridge", "capabilities": {"ips": true, "mac": true, "bandwidth": false}}, {"type": "portmap", "capabilities": {"portMappings": true}}]}`
	for name, c := range map[string]struct {
		arguments v1alpha1.CNIArguments
		want      *CNI
		problem   string
	}{
		"address and MAC": {v1alpha1.CNIArguments{IPs: []string{"10.77.0.9", "fd00::9/64"}, MAC: "02:00:00:00:00:09"}, &CNI{
			Capabilities: map[string]json.RawMessage{"ips": json.RawMessage(`["10.77.0.9","fd00::9/64"]`), "mac": json.RawMessage(`"02:00:00:00:00:09"`)},
			IPs:          []AskedIP{{netip.MustParseAddr("10.77.0.9"), -1}, {netip.MustParseAddr("fd00::9"), 64}}, MAC: HardwareAddr{2, 0, 0, 0, 0, 9},
		}, ""},
		"ports and arguments": {v1alpha1.CNIArguments{PortMappings: []v1alpha1.CNIPortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}, Args: `{"a": {"b": 1}}`}, &CNI{
			Capabilities: map[string]json.RawMessage{"portMappings": json.RawMessage(`[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]`)},
			Args:         map[string]json.RawMessage{"a": json.RawMessage(`{"b": 1}`)},
		}, ""},
		"declared false":     {v1alpha1.CNIArguments{Bandwidth: &v1alpha1.CNIBandwidth{EgressRate: 1}}, nil, `spec.cniArguments.bandwidth "": no plugin of spec.cni.config declares the capability`},
		"not declared":       {v1alpha1.CNIArguments{InfinibandGUID: "c2:11:22:33:44:55:66:77"}, nil, `spec.cniArguments.infinibandGUID "": no plugin`},
		"no address":         {v1alpha1.CNIArguments{IPs: []string{"10.77.0"}}, nil, `spec.cniArguments.ips "10.77.0": is not an IP address`},
		"no MAC":             {v1alpha1.CNIArguments{MAC: "02:00"}, nil, `spec.cniArguments.mac "02:00": is not a hardware address`},
		"arguments as list":  {v1alpha1.CNIArguments{Args: "[1]"}, nil, "is not a JSON object"},
		"arguments are null": {v1alpha1.CNIArguments{Args: "null"}, nil, "is not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			pna := &v1alpha1.PodNetworkAttachment{Spec: v1alpha1.PodNetworkAttachmentSpec{
				NetworkName: "lan", Interface: "net1", Type: v1alpha1.NetworkTypeCNI, CNI: &v1alpha1.CNISpec{Config: config}, CNIArguments: &c.arguments,
			}}
			got, err := FromAttachment(pna, Device{Name: "cni"}, nil)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("%v, want %q", err, c.problem)
			}
			if err != nil {
				return
			}
			c.want.Config = config
			text, err := json.Marshal(got)
			var back Attachment
			if err == nil {
				err = json.Unmarshal(text, &back)
			}
			// The ledger writes arguments without white space.
			compact := cmp.Transformer("compact", func(raw json.RawMessage) (value any) { _ = json.Unmarshal(raw, &value); return value })
			same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			if diff := cmp.Diff(c.want, got.CNI, same); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, back.CNI, same, compact); err != nil || diff != "" {
				t.Errorf("from the ledger: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
