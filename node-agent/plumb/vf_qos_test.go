package plumb

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// What of a class the driver takes is in force, and what it refuses is told and keeps nobody from the VF.
func TestSRIOVClass(t *testing.T) {
	c := newCards(t, "QoS classes on VFs")
	vf, before := c.vf(0, 1)
	settings := plan.VFSettings{VLAN: ptr(100)}
	class := &plan.VFQoS{MaxTxRate: ptr(500), MinTxRate: ptr(100), VLANQoS: ptr(5)}
	for range 2 {
		unmet, err := c.Configure(t.Context(), vf, settings, class, mac(1), nil)
		c.must(err)
		refusal := vf.String() + ": set minTxRate to 100: the driver igb of the PF does not take this rate"
		if keys := slices.Collect(maps.Keys(unmet)); !slices.Equal(keys, []string{"egress.guaranteed"}) || !strings.HasPrefix(unmet["egress.guaranteed"], refusal) {
			t.Errorf("unmet is %q, want egress.guaranteed: %s", unmet, refusal)
		}
		is, err := c.State(vf, nil)
		c.must(err)
		if is.MaxTxRate != 500 || is.MinTxRate != 0 || is.VLAN != 100 || is.VLANQoS != 5 || is.MAC != mac(1).String() {
			t.Errorf("read back %+v", is)
		}
	}
	// The Network's own wish for the same is a demand.
	if _, err := c.Configure(t.Context(), vf, plan.VFSettings{VLAN: ptr(100), MinTxRate: ptr(100)}, nil, mac(1), nil); err == nil || !strings.Contains(err.Error(), "set minTxRate to 100") {
		t.Errorf("error %v", err)
	}
	c.release(vf, before, nil)
}
