package plumb

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

const simulatedVFs = 3

// simulated is a card of netdevsim, whose VFs have no PCI address: only what its PF is told of them is theirs.
type simulated struct {
	*testing.T
	VFs
	vf VF
}

func newSimulated(t *testing.T, id int, feature string) simulated {
	pf := kerneltest.Simulated(t, id, simulatedVFs, feature)
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return simulated{t, VFs{Node: node}, VF{PCIAddress: "of no bus", PF: pf, Index: 1, PFDriver: "netdevsim"}}
}

func (s simulated) told() plan.VFState {
	s.Helper()
	info, _, err := s.info(s.vf)
	if err != nil {
		s.Fatal(err)
	}
	return told(info)
}

// set tells the card what Configure would.
func (s simulated) set(settings plan.VFSettings) error {
	s.Helper()
	_, pf, err := s.info(s.vf)
	if err != nil {
		s.Fatal(err)
	}
	now := s.told()
	return s.apply(s.vf, pf, now, wanted(now, settings))
}

// What igb refuses is set, read back, and put back.
func TestSRIOVSimulatedAttributes(t *testing.T) {
	s := newSimulated(t, 41, "link state and minimum rate of VFs")
	before := s.told()
	for name, test := range map[string]struct {
		settings plan.VFSettings
		want     func(*plan.VFState)
	}{
		"link always up":   {plan.VFSettings{LinkState: "enable"}, func(v *plan.VFState) { v.LinkState = "enable" }},
		"link always down": {plan.VFSettings{LinkState: "disable"}, func(v *plan.VFState) { v.LinkState = "disable" }},
		"link of the PF":   {plan.VFSettings{LinkState: "auto"}, func(v *plan.VFState) { v.LinkState = "auto" }},
		"minimum rate":     {plan.VFSettings{MinTxRate: ptr(100)}, func(v *plan.VFState) { v.MinTxRate = 100 }},
		"both rates":       {plan.VFSettings{MinTxRate: ptr(100), MaxTxRate: ptr(2000)}, func(v *plan.VFState) { v.MinTxRate, v.MaxTxRate = 100, 2000 }},
		"the same rate":    {plan.VFSettings{MinTxRate: ptr(70), MaxTxRate: ptr(70)}, func(v *plan.VFState) { v.MinTxRate, v.MaxTxRate = 70, 70 }},
		"double tags":      {plan.VFSettings{VLAN: ptr(8), VLANQoS: ptr(5), VLANProto: "802.1ad"}, func(v *plan.VFState) { v.VLAN, v.VLANQoS, v.VLANProto = 8, 5, "802.1ad" }},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			if err := s.set(test.settings); err != nil {
				t.Fatal(err)
			}
			want := before
			test.want(&want)
			if is := s.told(); is != want {
				t.Errorf("read back %+v\nwant %+v", is, want)
			}
			_, pf, err := s.info(s.vf)
			if err := errors.Join(err, s.apply(s.vf, pf, s.told(), before)); err != nil {
				t.Error(err)
			}
			if is := s.told(); is != before {
				t.Errorf("put back it is %+v\nwant %+v", is, before)
			}
		})
	}
}

// What netdevsim refuses is told as that of any other card.
func TestSRIOVSimulatedRefusals(t *testing.T) {
	s := newSimulated(t, 42, "attributes that a simulated VF cannot have")
	before := s.told()
	if _, pf, err := s.info(s.vf); err != nil || SetUp(s.Node, pf.Index) != nil {
		t.Fatal("the card does not come up", err) // A PF that is down is told as the reason of refused rates.
	}
	for name, test := range map[string]struct {
		settings plan.VFSettings
		want     string
		errno    error
	}{
		"vlan": {plan.VFSettings{VLAN: ptr(4096)}, "set vlan to 4096: the value is out of the range of the driver netdevsim: invalid argument", unix.EINVAL},
		"priority": {plan.VFSettings{VLAN: ptr(4), VLANQoS: ptr(8)},
			"set vlanQoS to 8: the value is out of the range of the driver netdevsim: invalid argument", unix.EINVAL},
		"minimum above maximum": {plan.VFSettings{MinTxRate: ptr(200), MaxTxRate: ptr(100)},
			"set minTxRate to 200: the driver netdevsim of the PF does not take this rate: it has no such limit, the link is slower, or it has no carrier: invalid argument",
			unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			s.refuses(test.settings, test.want, test.errno)
			_, pf, err := s.info(s.vf)
			if err := errors.Join(err, s.apply(s.vf, pf, s.told(), before)); err != nil {
				t.Error(err)
			}
		})
	}
	if _, _, err := s.info(VF{PF: s.vf.PF, Index: simulatedVFs}); !errors.Is(err, ErrNoVF) {
		t.Errorf("a VF more than the card has: %v", err)
	}
}

func (s simulated) refuses(settings plan.VFSettings, want string, errno error) {
	s.Helper()
	err := s.set(settings)
	var refused *VFError
	if !errors.As(err, &refused) || !errors.Is(err, errno) || err.Error() != s.vf.String()+": "+want {
		s.Errorf("error %v\nwant %s: %s", err, s.vf, want)
	}
}

// A card in switchdev mode leaves rates to its representors, and says that it cannot set them.
func TestSRIOVSimulatedSwitchdev(t *testing.T) {
	s := newSimulated(t, 43, "rates of VFs in switchdev mode")
	kerneltest.SetSwitchdev(t, 43)
	s.refuses(plan.VFSettings{MinTxRate: ptr(100)}, "set minTxRate to 100: the driver netdevsim of the PF cannot set it: operation not supported", unix.EOPNOTSUPP)
	s.refuses(plan.VFSettings{MaxTxRate: ptr(100)}, "set maxTxRate to 100: the driver netdevsim of the PF cannot set it: operation not supported", unix.EOPNOTSUPP)
}
