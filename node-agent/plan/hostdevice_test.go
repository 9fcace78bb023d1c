package plan

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func nicOrder() *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{Spec: v1alpha1.PodNetworkAttachmentSpec{
		NetworkName: "whole", Interface: "net1", Type: v1alpha1.NetworkTypeHostDevice, HostDevice: &v1alpha1.HostDeviceSpec{},
	}}
}

func TestHostDevicePlan(t *testing.T) {
	nic := Device{Name: "uplink-eth1", Uplink: "eth1"}
	got, err := FromAttachment(nicOrder(), nic, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&HostDevice{Interface: "eth1"}, got.HostDevice); diff != "" || got.MAC != nil || got.Macvlan != nil || got.VF != nil {
		t.Errorf("planned %+v %s", got, diff)
	}
	if got.Lent() != "eth1" || got.LentName() != "NIC eth1" || got.RecordedOn() != "" || !got.HasInterface() {
		t.Errorf("lent %q, %q, recorded on %q", got.Lent(), got.LentName(), got.RecordedOn())
	}
	own := HardwareAddr{2, 0, 0, 0, 9, 1}
	recorded := got.WithNICState(&NICState{Boot: "this", Interface: "eth1", MAC: own})
	if recorded.MAC.String() != own.String() || recorded.RecordedOn() != "this" || got.HostDevice.Before != nil {
		t.Errorf("recorded %+v, and before it %+v", recorded, got)
	}
	if again := got.WithRecordOf(recorded); again.MAC.String() != own.String() || again.RecordedOn() != "this" {
		t.Errorf("planned again %+v", again)
	}
	asked := nicOrder()
	asked.Spec.MAC = "02:00:00:00:00:07"
	if got, err = FromAttachment(asked, nic, nil); err != nil || got.WithNICState(&NICState{MAC: own}).MAC.String() != asked.Spec.MAC {
		t.Errorf("with a MAC of the pod's: %+v, %v", got, err)
	}
}

func TestHostDeviceRefused(t *testing.T) {
	for field, change := range map[string]func(*v1alpha1.PodNetworkAttachmentSpec){
		"spec.hostDevice": func(s *v1alpha1.PodNetworkAttachmentSpec) { s.HostDevice = nil },
		"spec.qos":        func(s *v1alpha1.PodNetworkAttachmentSpec) { s.QoS = &v1alpha1.ResolvedQoS{} },
		"spec.mac":        func(s *v1alpha1.PodNetworkAttachmentSpec) { s.MAC = "01:00:00:00:00:07" },
	} {
		pna := nicOrder()
		change(&pna.Spec)
		_, err := FromAttachment(pna, Device{Name: "uplink-eth1", Uplink: "eth1"}, nil)
		var refused *Error
		if !errors.As(err, &refused) || refused.Field != field {
			t.Errorf("error %v, want one of %s", err, field)
		}
	}
}

// A VF is known by its PCI address until it is written down which interface it has.
func TestHostDeviceThatIsAVF(t *testing.T) {
	got, err := FromAttachment(nicOrder(), vfDevice(), nil)
	if err != nil || !got.HasVF() || got.Lent() != "0000:01:10.0" || got.LentName() != "VF 3 of PF ens9 (0000:01:10.0)" || got.HostDevice.Interface != "" {
		t.Fatalf("planned %+v, %v", got, err)
	}
	got = got.WithNICState(&NICState{Boot: "this", Interface: "ens9v3", MAC: HardwareAddr{2, 0, 0, 0, 9, 3}})
	if got.HostDevice.Interface != "ens9v3" || got.Lent() != "0000:01:10.0" || got.RecordedOn() != "this" {
		t.Errorf("recorded %+v", got)
	}
}

func TestNICDifferences(t *testing.T) {
	before := NICState{MAC: HardwareAddr{2, 0, 0, 0, 9, 1}, MTU: 1500, TxQueueLength: 1000, Alias: "lab", Up: true}
	now := NICState{Boot: "another", MAC: HardwareAddr{2, 0, 0, 0, 9, 2}, MTU: 1400, TxQueueLength: 7, Promiscuous: true, AllMulticast: true, XDP: true}
	want := []string{
		`mac is "02:00:00:00:09:02" instead of "02:00:00:00:09:01"`, "mtu is 1400 instead of 1500", "txqueuelen is 7 instead of 1000", `alias is "" instead of "lab"`,
		"link is off instead of on", "promiscuous mode is on instead of off", "all multicast is on instead of off", "XDP program is on instead of off",
	}
	if diff := cmp.Diff(want, before.Differences(now)); diff != "" || len(before.Differences(before)) != 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNICMark(t *testing.T) {
	if nic, marked := MarkedNIC(NICMark("eth1.5")); nic != "eth1.5" || !marked {
		t.Errorf("%q, %v", nic, marked)
	}
	for _, alias := range []string{"", "multinet.dev/vf", "eth1"} {
		if nic, marked := MarkedNIC(alias); marked {
			t.Errorf("alias %q is a mark of %q", alias, nic)
		}
	}
}
