package decide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestNICSelection asks the scheduler's own CEL as well.
func TestNICSelection(t *testing.T) {
	const mac, other = "aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02"
	for name, c := range map[string]struct {
		nic  v1alpha1.UplinkSelector
		kind v1alpha1.DeviceKind
		// mac and pci of the device, "" for none.
		mac  string
		pci  string
		want bool
	}{
		"by name":                          {nic: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}, kind: "Uplink", want: true},
		"by another name":                  {nic: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth2"}}, kind: "Uplink"},
		"by MAC":                           {nic: v1alpha1.UplinkSelector{MACs: []string{other, mac}}, kind: "Uplink", mac: mac, want: true},
		"by another MAC":                   {nic: v1alpha1.UplinkSelector{MACs: []string{other}}, kind: "Uplink", mac: mac},
		"by MAC, one without":              {nic: v1alpha1.UplinkSelector{MACs: []string{mac}}, kind: "Uplink"},
		"by PCI address":                   {nic: v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.0", "0000:3b:00.1"}}, kind: "Uplink", pci: "0000:3b:00.1", want: true},
		"by another PCI address":           {nic: v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.0"}}, kind: "Uplink", pci: "0000:3b:00.1"},
		"by PCI address, one without":      {nic: v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.0"}}, kind: "Uplink"},
		"by name and another MAC":          {nic: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}, MACs: []string{other}}, kind: "Uplink", mac: mac},
		"by MAC, what has bandwidth alone": {nic: v1alpha1.UplinkSelector{MACs: []string{mac}}, kind: "NIC", mac: mac},
	} {
		t.Run(name, func(t *testing.T) {
			device := newDevice(c.kind, "d", "eth1")
			if c.mac != "" {
				device.Attributes[v1alpha1.DeviceAttributeMAC] = resourcev1.DeviceAttribute{StringValue: &c.mac}
			}
			if c.pci != "" {
				device = at(device, c.pci)
			}
			selecting := func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink = c.nic }
			wantDevice(t, network("whole", selecting, wholeNIC), device, c.want)
			wantDevice(t, network("shared", selecting), device, c.want)
		})
	}
}

// A NIC that is down on the node has room for a pod that gets it alone, and for no other.
func TestRoomOnANICThatIsDown(t *testing.T) {
	r := room{published: []resourcev1.ResourceSlice{published("a", withTaint(newDevice("Uplink", "uplink-eth1", "eth1")))}, where: "on node a"}
	if nodes, why := r.nodes(network("whole", wholeNIC), nil); !nodes["a"] || why != "" {
		t.Errorf("whole: %v, %q", nodes, why)
	}
	if nodes, why := r.nodes(network("storage"), nil); len(nodes) > 0 || !strings.Contains(why, "each of which is tainted") {
		t.Errorf("shared: %v, %q", nodes, why)
	}
}

func TestHostDeviceStatus(t *testing.T) {
	ready := meta.FindStatusCondition(NetworkStatus(NetworkFacts{Network: network("whole", wholeNIC)}).Conditions, v1alpha1.NetworkConditionReady)
	if ready.Reason != v1alpha1.ReasonNoUplink || !strings.Contains(ready.Message, "spec.hostDevice.nic") {
		t.Errorf("%+v", ready)
	}
	without := network("whole", wholeNIC, func(n *v1alpha1.Network) { n.Spec.HostDevice = nil })
	if err := CheckNetwork(without); err == nil || !strings.Contains(err.Error(), "spec.hostDevice is missing") {
		t.Error(err)
	}
	// Pods of two nodes are on one wire, one with a link on the NIC and one with the NIC.
	if got := Overlaps(network("whole", wholeNIC), []v1alpha1.Network{*network("storage")}); len(got) != 2 {
		t.Errorf("overlaps %v", got)
	}
}

// A NIC keeps its MAC, whichever NIC the next pod of the name gets, unless the pod itself asks for another.
func TestAttachmentOfANIC(t *testing.T) {
	n, pod := network("whole", wholeNIC), podSelecting("whole")
	p := Planned{Selection: selection.Selection{Interface: "net1", PodClaimName: "multinet-whole-0"}, Network: n}
	got := Attachment(pod, p, assignments()).Spec
	if diff := cmp.Diff(n.Spec.HostDevice, got.HostDevice); diff != "" || got.HostDevice == n.Spec.HostDevice || got.Type != v1alpha1.NetworkTypeHostDevice || got.MAC != "" || len(got.Addresses) != 2 {
		t.Errorf("%+v: %s", got, diff)
	}
	p.Claim = StickyClaim(pod, p, assignments())
	if p.Claim.Spec.MAC != "" || len(p.Claim.Spec.Addresses) != 2 || CheckClaim(p.Claim, n, nil) != nil {
		t.Errorf("claim %+v: %+v", p.Claim.Spec, CheckClaim(p.Claim, n, nil))
	}
	if diff := cmp.Diff(got, Attachment(pod, p, assignments()).Spec); diff != "" {
		t.Errorf("with a sticky claim: %s", diff)
	}
	p.Claim.Spec.MAC = "06:00:00:00:00:01"
	if refusal := CheckClaim(p.Claim, n, nil); refusal == nil || refusal.Reason != v1alpha1.ReasonNetworkNotAccepted || !strings.Contains(refusal.Message, "keeps its own MAC") {
		t.Errorf("a MAC of a claim: %+v", refusal)
	}
	p.Asked = &Asked{MAC: "02:00:00:00:00:09"}
	if got := Attachment(pod, p, assignments()).Spec.MAC; got != p.Asked.MAC {
		t.Errorf("asked for %s, got %q", p.Asked.MAC, got)
	}
}
