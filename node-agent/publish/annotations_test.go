package publish

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// TestNetworkStatusToTheByte: tools parse this annotation. The default network stands first and alone has "default"; a
// Network that stands for a NetworkAttachmentDefinition has the latter's name, with the namespace.
func TestNetworkStatusToTheByte(t *testing.T) {
	r := attachedReport()
	definition := r.Interfaces[0]
	definition.Plan.Network, definition.Plan.Interface, definition.MAC, definition.Addresses = "nad-4-demo-lan", "net2", plan.HardwareAddr{2, 0, 0, 0, 0, 2}, nil
	r.Interfaces = append(r.Interfaces, definition)
	written, err := annotations(r, "kindnet")
	if err != nil {
		t.Fatal(err)
	}
	want := `[{
    "name": "kindnet",
    "interface": "eth0",
    "ips": [
        "10.244.0.7"
    ],
    "default": true,
    "dns": {}
},{
    "name": "storage",
    "interface": "net1",
    "ips": [
        "10.20.0.5"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 1500,
    "dns": {}
},{
    "name": "demo/lan",
    "interface": "net2",
    "mac": "02:00:00:00:00:02",
    "mtu": 1500,
    "dns": {}
}]`
	if diff := cmp.Diff(want, written[v1alpha1.AnnotationNetworkStatus]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
