package sandboxes

import (
	"net/netip"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

func TestConflictText(t *testing.T) {
	v4 := plan.Conflict{Addr: netip.MustParseAddr("10.20.0.5"), MAC: plan.HardwareAddr{2, 0xaa, 0, 0, 0, 1}}
	v6 := plan.Conflict{Addr: netip.MustParseAddr("fd00:20::5"), MAC: plan.HardwareAddr{2, 0xaa, 0, 0, 0, 2}}
	for name, test := range map[string]struct {
		vlan      int
		conflicts []plan.Conflict
		want      string
	}{
		"nobody": {},
		"one":    {conflicts: []plan.Conflict{v4}, want: "address 10.20.0.5 is used by 02:aa:00:00:00:01 on the segment of uplink eth1"},
		"two on a VLAN": {vlan: 100, conflicts: []plan.Conflict{v4, v6},
			want: "address 10.20.0.5 is used by 02:aa:00:00:00:01 on the segment of VLAN 100 on uplink eth1; " +
				"address fd00:20::5 is used by 02:aa:00:00:00:02 on the segment of VLAN 100 on uplink eth1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := plan.Attachment{Device: plan.Device{Uplink: "eth1"}, Macvlan: &plan.Macvlan{VLAN: test.vlan}}
			if got := conflictText(a, test.conflicts); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
