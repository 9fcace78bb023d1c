package plan

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func cleanVF() VFState {
	return VFState{
		Driver: "igbvf", Interface: "eth3", MAC: "02:00:00:00:00:01", MTU: 1500, TxQueueLength: 1000,
		AdminMAC: NoMAC, VLANProto: "802.1q", SpoofCheck: true, LinkState: "auto",
	}
}

func TestDifferences(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*VFState)
		want   []string
	}{
		"none":            {func(*VFState) {}, nil},
		"boot":            {func(s *VFState) { s.Boot = "another" }, nil},
		"driver":          {func(s *VFState) { s.Driver = "vfio-pci" }, []string{`driver is "vfio-pci" instead of "igbvf"`}},
		"override":        {func(s *VFState) { s.DriverOverride = "vfio-pci" }, []string{`driver_override is "vfio-pci" instead of ""`}},
		"name":            {func(s *VFState) { s.Interface = "net1" }, []string{`interface is "net1" instead of "eth3"`}},
		"mtu":             {func(s *VFState) { s.MTU = 9000 }, []string{"mtu is 9000 instead of 1500"}},
		"queue":           {func(s *VFState) { s.TxQueueLength = 1 }, []string{"txqueuelen is 1 instead of 1000"}},
		"mark":            {func(s *VFState) { s.Alias = "x" }, []string{`alias is "x" instead of ""`}},
		"flags":           {func(s *VFState) { s.Promiscuous, s.AllMulticast = true, true }, []string{"promiscuous mode is on instead of off", "all multicast is on instead of off"}},
		"XDP":             {func(s *VFState) { s.XDP = true }, []string{"XDP program is on instead of off"}},
		"vlan":            {func(s *VFState) { s.VLAN, s.VLANQoS, s.VLANProto = 5, 3, "802.1ad" }, []string{"vlan is 5 instead of 0", "vlanQoS is 3 instead of 0", `vlanProto is "802.1ad" instead of "802.1q"`}},
		"rights":          {func(s *VFState) { s.SpoofCheck, s.Trust = false, true }, []string{"spoofCheck is off instead of on", "trust is on instead of off"}},
		"link state":      {func(s *VFState) { s.LinkState = "enable" }, []string{`linkState is "enable" instead of "auto"`}},
		"rates":           {func(s *VFState) { s.MinTxRate, s.MaxTxRate = 1, 2 }, []string{"minTxRate is 1 instead of 0", "maxTxRate is 2 instead of 0"}},
		"RDMA is away":    {func(s *VFState) { s.RDMA = "" }, []string{"number of RDMA devices is 0 instead of 1"}},
		"RDMA is renamed": {func(s *VFState) { s.RDMA = "mlx5_9" }, nil},
		// Drivers tell the PF which MAC they have chosen, some when the interface comes up.
		"its own choice":    {func(s *VFState) { s.AdminMAC = s.MAC }, nil},
		"the PF's choice":   {func(s *VFState) { s.AdminMAC = "02:00:00:00:00:02" }, []string{`MAC on the PF is "02:00:00:00:00:02" instead of "00:00:00:00:00:00"`}},
		"another MAC":       {func(s *VFState) { s.MAC = "02:00:00:00:00:02" }, []string{`mac is "02:00:00:00:00:02" instead of "02:00:00:00:00:01"`}},
		"another by itself": {func(s *VFState) { s.MAC, s.AdminMAC = "02:00:00:00:00:02", "02:00:00:00:00:02" }, []string{`mac is "02:00:00:00:00:02" instead of "02:00:00:00:00:01"`}},
	} {
		t.Run(name, func(t *testing.T) {
			before := cleanVF()
			before.RDMA = "mlx5_3"
			now := before
			test.change(&now)
			if diff := cmp.Diff(test.want, before.Differences(now)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The ledger gives back what was written into it, in which zero counts as much as any other value.
func TestVFStateInTheLedger(t *testing.T) {
	for name, state := range map[string]VFState{
		"clean": cleanVF(),
		"all": {Boot: "0", Driver: "a", DriverOverride: "b", RDMA: "c", Interface: "d", MAC: "e", MTU: 1, TxQueueLength: 2, Alias: "f", Promiscuous: true, AllMulticast: true,
			XDP: true, AdminMAC: "g", VLAN: 3, VLANQoS: 4, VLANProto: "h", SpoofCheck: true, Trust: true, LinkState: "i", MinTxRate: 5, MaxTxRate: 6},
	} {
		text, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		var read VFState
		if err := json.Unmarshal(text, &read); err != nil || read != state {
			t.Errorf("%s: %+v became %+v, %v", name, state, read, err)
		}
	}
}
