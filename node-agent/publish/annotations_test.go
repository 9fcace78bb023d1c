package publish

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestNetworkStatusToTheByte: tools parse this annotation, the default network stands first, and it alone has "default".
func TestNetworkStatusToTheByte(t *testing.T) {
	written, err := annotations(attachedReport(), "kindnet")
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
}]`
	if diff := cmp.Diff(want, written[v1alpha1.AnnotationNetworkStatus]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
