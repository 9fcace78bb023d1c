package plan

import (
	"encoding/json"
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
