package plumb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// qualify compares what the card has of a class afterwards, and returns what the driver refuses.
func (h VFs) qualify(t *testing.T, vf VF, before plan.VFState, settings plan.VFSettings, class *plan.VFQoS, want plan.VFOutcome) map[string]string {
	t.Helper()
	got, err := h.Qualify(vf, before, settings, class)
	if err != nil {
		t.Fatal(err)
	}
	refused := got.Refused
	got.Refused = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got)\n%s", diff)
	}
	return refused
}

// What of a class the driver takes is in force, follows the class while a pod has the VF, and goes with the VF. What the driver
// refuses is told and keeps nobody from the VF.
func TestSRIOVClass(t *testing.T) {
	c := newCards(t, "QoS classes on VFs")
	vf, before := c.vf(0, 1)
	settings := plan.VFSettings{VLAN: ptr(100)}
	c.must(c.Configure(t.Context(), vf, settings, mac(1), nil))
	gold := &plan.VFQoS{MaxTxRate: ptr(500), MinTxRate: ptr(100), VLANQoS: ptr(5)}
	refusal := vf.String() + ": set minTxRate to 100: the driver igb of the PF does not take this rate"
	for range 2 {
		refused := c.qualify(t, vf, before, settings, gold, plan.VFOutcome{MaxTxRate: 500, VLANQoS: ptr(5)})
		if len(refused) != 1 || !strings.HasPrefix(refused["egress.guaranteed"], refusal) {
			t.Errorf("refused %q, want egress.guaranteed: %s", refused, refusal)
		}
	}
	pod := kerneltest.Namespace(t, "pod")
	_, _, err := c.Move(vf, pod, "net1", 0)
	c.must(err)
	for name, change := range map[string]struct {
		class *plan.VFQoS
		want  plan.VFOutcome
	}{
		"less":             {&plan.VFQoS{MaxTxRate: ptr(200), VLANQoS: ptr(3)}, plan.VFOutcome{MaxTxRate: 200, VLANQoS: ptr(3)}},
		"more":             {&plan.VFQoS{MaxTxRate: ptr(800), VLANQoS: ptr(7)}, plan.VFOutcome{MaxTxRate: 800, VLANQoS: ptr(7)}},
		"nothing any more": {&plan.VFQoS{}, plan.VFOutcome{VLANQoS: ptr(0)}},
	} {
		if refused := c.qualify(t, vf, before, settings, change.class, change.want); len(refused) > 0 {
			t.Errorf("%s: refused %q", name, refused)
		}
		is, err := c.State(vf, pod)
		c.must(err)
		if is.VLAN != 100 || is.MAC != mac(1).String() || is.AdminMAC != is.MAC || is.Interface != "net1" {
			t.Errorf("%s: the VF is %+v", name, is)
		}
	}
	// More than the link has: what was there before stays.
	c.qualify(t, vf, before, settings, &plan.VFQoS{MaxTxRate: ptr(300)}, plan.VFOutcome{MaxTxRate: 300, VLANQoS: ptr(0)})
	refused := c.qualify(t, vf, before, settings, &plan.VFQoS{MaxTxRate: ptr(5000)}, plan.VFOutcome{MaxTxRate: 300, VLANQoS: ptr(0)})
	if !strings.Contains(refused["egress.maximum"], "set maxTxRate to 5000") {
		t.Errorf("refused %q", refused)
	}
	// The Network's own wish counts when the class has none.
	settings.MaxTxRate = ptr(400)
	c.qualify(t, vf, before, settings, &plan.VFQoS{}, plan.VFOutcome{MaxTxRate: 400, VLANQoS: ptr(0)})
	c.release(vf, before, pod)
	// And is a demand.
	if err := c.Configure(t.Context(), vf, plan.VFSettings{VLAN: ptr(100), MinTxRate: ptr(100)}, mac(1), nil); err == nil || !strings.Contains(err.Error(), "set minTxRate to 100") {
		t.Errorf("error %v", err)
	}
	c.release(vf, before, nil)
}

// A card that takes minimum rates has them follow a class, whichever of both rates passes the other on the way.
func TestSRIOVSimulatedClass(t *testing.T) {
	s := newSimulated(t, 44, "minimum rate of a QoS class on a VF")
	before := s.told()
	for _, rates := range [][2]int{{100, 500}, {600, 900}, {50, 80}, {0, 70}, {70, 70}, {0, 0}} {
		class := &plan.VFQoS{}
		if rates[0] > 0 {
			class.MinTxRate = &rates[0]
		}
		if rates[1] > 0 {
			class.MaxTxRate = &rates[1]
		}
		if refused := s.qualify(t, s.vf, before, plan.VFSettings{}, class, plan.VFOutcome{MinTxRate: rates[0], MaxTxRate: rates[1]}); len(refused) > 0 {
			t.Errorf("%v: refused %q", rates, refused)
		}
	}
	if is := s.told(); is != before {
		t.Errorf("at last it is %+v, want %+v", is, before)
	}
}
