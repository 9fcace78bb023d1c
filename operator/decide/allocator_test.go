package decide

import (
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/deviceattribute"
	"k8s.io/dynamic-resource-allocation/structured"
	"sigs.k8s.io/yaml"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// stockScheduler is the part of kube-scheduler that hands out devices, on one node. What it gives it remembers.
type stockScheduler struct {
	t       *testing.T
	classes map[string]*resourcev1.DeviceClass
	slice   *resourcev1.ResourceSlice
	state   structured.AllocatedState
}

func newStockScheduler(t *testing.T, devices []resourcev1.Device, networks ...*v1alpha1.Network) *stockScheduler {
	t.Helper()
	s := &stockScheduler{t: t, classes: map[string]*resourcev1.DeviceClass{}, slice: &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "n1-multinet"},
		Spec: resourcev1.ResourceSliceSpec{Driver: v1alpha1.DriverName, NodeName: ptr("n1"),
			Pool: resourcev1.ResourcePool{Name: "n1", ResourceSliceCount: 1}, Devices: devices},
	}, state: structured.AllocatedState{
		AllocatedDevices: sets.New[structured.DeviceID](), AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}}
	for _, n := range networks {
		s.classes[v1alpha1.DeviceClassName(n.Name)] = DeviceClass(n)
	}
	text, err := os.ReadFile("../../manifests/scheduler/bandwidth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bandwidth := &resourcev1.DeviceClass{}
	if err := yaml.UnmarshalStrict(text, bandwidth); err != nil {
		t.Fatal(err)
	}
	s.classes[bandwidth.Name] = bandwidth
	return s
}

// List and Get implement the lister of the allocator.
func (s *stockScheduler) List() (all []*resourcev1.DeviceClass, _ error) {
	for _, c := range s.classes {
		all = append(all, c)
	}
	return all, nil
}

func (s *stockScheduler) Get(name string) (*resourcev1.DeviceClass, error) {
	if c := s.classes[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no DeviceClass %s", name)
}

// allocate returns "request=device" for each device that the claim gets, nothing where the pod would stay Pending.
func (s *stockScheduler) allocate(devices resourcev1.DeviceClaim) (got []string) {
	s.t.Helper()
	allocator, err := structured.NewAllocator(s.t.Context(), structured.Features{
		ConsumableCapacity: true, DeviceTaints: true, PrioritizedList: true, PartitionableDevices: true, AdminAccess: true,
	}, s.state, s, []*resourcev1.ResourceSlice{s.slice}, cel.NewCache(10, cel.Features{EnableConsumableCapacity: true}))
	if err != nil {
		s.t.Fatal(err)
	}
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "c", UID: "c"}, Spec: resourcev1.ResourceClaimSpec{Devices: devices}}
	results, err := allocator.Allocate(s.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, []*resourcev1.ResourceClaim{claim})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, result := range results {
		for _, r := range result.Devices.Results {
			got = append(got, r.Request+"="+r.Device)
			id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
			if r.ShareID == nil {
				s.state.AllocatedDevices.Insert(id)
				continue
			}
			s.state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, r.ShareID))
			s.state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
		}
	}
	return got
}

// newDevice is one as agents publish it, with 10G where it is a NIC.
func newDevice(kind v1alpha1.DeviceKind, name, nic string) resourcev1.Device {
	d := resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
		v1alpha1.DeviceAttributeKind: {StringValue: ptr(string(kind))}, v1alpha1.DeviceAttributeNIC: {StringValue: &nic},
		v1alpha1.DeviceAttributeRack: {StringValue: ptr("r1")},
	}}
	if kind == v1alpha1.DeviceKindVF {
		d.Attributes[v1alpha1.DeviceAttributePF] = resourcev1.DeviceAttribute{StringValue: &nic}
		d.Capacity = map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{v1alpha1.DeviceCapacityLinks: {Value: *resource.NewQuantity(v1alpha1.WholeUplink, resource.DecimalSI)}}
		return d
	}
	d.AllowMultipleAllocations = ptr(true)
	d.Attributes[v1alpha1.DeviceAttributeInterface] = resourcev1.DeviceAttribute{StringValue: &nic}
	if kind != v1alpha1.DeviceKindOverlay {
		zero := resource.MustParse("0")
		ten := resourcev1.DeviceCapacity{Value: resource.MustParse("10G"), RequestPolicy: &resourcev1.CapacityRequestPolicy{
			Default: &zero, ValidRange: &resourcev1.CapacityRequestPolicyRange{Min: &zero}}}
		d.Capacity = map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{v1alpha1.DeviceCapacityBandwidth: ten, v1alpha1.DeviceCapacityIngress: ten}
	}
	if kind == v1alpha1.DeviceKindUplink {
		one := resource.MustParse("1")
		d.Capacity[v1alpha1.DeviceCapacityLinks] = resourcev1.DeviceCapacity{Value: *resource.NewQuantity(v1alpha1.WholeUplink, resource.DecimalSI),
			RequestPolicy: &resourcev1.CapacityRequestPolicy{Default: &one, ValidRange: &resourcev1.CapacityRequestPolicyRange{Min: &one}}}
	}
	return d
}

// at gives a device a PCI address.
func at(d resourcev1.Device, pciAddress string) resourcev1.Device {
	d.Attributes = maps.Clone(d.Attributes)
	d.Attributes[deviceattribute.StandardDeviceAttributePCIBusID] = resourcev1.DeviceAttribute{StringValue: &pciAddress}
	return d
}

// qosClass guarantees what is not "".
func qosClass(name, egress, ingress string) *v1alpha1.QoSClass {
	c := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	if egress != "" {
		c.Spec.Egress = &v1alpha1.Bandwidth{Guaranteed: ptr(resource.MustParse(egress))}
	}
	if ingress != "" {
		c.Spec.Ingress = &v1alpha1.Bandwidth{Guaranteed: ptr(resource.MustParse(ingress))}
	}
	return c
}

func virtual(n *v1alpha1.Network) {
	n.Spec.Type, n.Spec.Macvlan = v1alpha1.NetworkTypeSRIOV, nil
	n.Spec.SRIOV = &v1alpha1.SRIOVSpec{Device: v1alpha1.VFSelector{PFNames: []v1alpha1.InterfaceName{"eth1", "eth2"}}}
}

func alone(n *v1alpha1.Network) { n.Spec.Macvlan.Mode = v1alpha1.MacvlanModePassthru }

func wholeNIC(n *v1alpha1.Network) {
	n.Spec.Type, n.Spec.HostDevice, n.Spec.Macvlan = v1alpha1.NetworkTypeHostDevice, &v1alpha1.HostDeviceSpec{NIC: n.Spec.Macvlan.Uplink}, nil
}

func overlaid(n *v1alpha1.Network) {
	n.Spec.Type, n.Spec.Macvlan = v1alpha1.NetworkTypeRackLocal, nil
	n.Spec.RackLocal = &v1alpha1.RackLocalSpec{TopologyKey: v1alpha1.DefaultTopologyKey, Overlay: &v1alpha1.RackOverlaySpec{}}
}

// TestCapacityWithTheStockScheduler: whatever leads to a NIC takes from the same bandwidth, which is not promised twice.
func TestCapacityWithTheStockScheduler(t *testing.T) {
	storage, fast, rack := network("storage"), network("fast", virtual), network("rack", overlaid)
	vfs := []resourcev1.Device{newDevice("VF", "vf0", "eth1"), newDevice("VF", "vf1", "eth1"), newDevice("VF", "vf2", "eth2")}
	uplink := newDevice("Uplink", "uplink-eth1", "eth1")
	four, in, both := qosClass("four", "4G", ""), qosClass("in", "", "4G"), qosClass("both", "4G", "4G")
	type ask struct {
		network *v1alpha1.Network
		class   *v1alpha1.QoSClass
		want    []string
	}
	onUplink := []string{"nic=uplink-eth1"}
	for name, c := range map[string]struct {
		devices []resourcev1.Device
		asks    []ask
	}{
		"the third of 4G on 10G":    {[]resourcev1.Device{uplink}, []ask{{storage, four, onUplink}, {storage, four, onUplink}, {storage, four, nil}}},
		"the third of 4G in on 10G": {[]resourcev1.Device{uplink}, []ask{{storage, in, onUplink}, {storage, in, onUplink}, {storage, in, nil}}},
		"in and out are two":        {[]resourcev1.Device{uplink}, []ask{{storage, in, onUplink}, {storage, four, onUplink}, {storage, both, onUplink}, {storage, both, nil}}},
		"without a guarantee on a full NIC": {[]resourcev1.Device{uplink},
			[]ask{{storage, qosClass("ten", "10G", "10G"), onUplink}, {storage, nil, onUplink}, {storage, qosClass("best", "", ""), onUplink}}},
		"VFs of the uplink": {append(vfs[:2:2], uplink), []ask{
			{fast, four, []string{"nic=vf0", "bandwidth=uplink-eth1"}}, {storage, four, onUplink}, {fast, four, nil}, {fast, nil, []string{"nic=vf1"}}}},
		"the PF that has some left": {append(vfs[:3:3], uplink, newDevice("NIC", "nic-eth2", "eth2")), []ask{
			{storage, qosClass("eight", "8G", ""), onUplink}, {fast, four, []string{"nic=vf2", "bandwidth=nic-eth2"}}, {fast, four, nil}}},
		"overlay on an uplink": {[]resourcev1.Device{uplink, newDevice("Overlay", "overlay", "eth1")}, []ask{
			{rack, four, []string{"nic=overlay", "bandwidth=uplink-eth1"}}, {storage, four, onUplink}, {rack, four, nil}, {storage, four, nil}, {rack, nil, []string{"nic=overlay"}}}},
		"overlay elsewhere": {[]resourcev1.Device{uplink, newDevice("Overlay", "overlay", "eth0"), newDevice("NIC", "nic-eth0", "eth0")}, []ask{
			{rack, both, []string{"nic=overlay", "bandwidth=nic-eth0"}}, {storage, both, onUplink}, {rack, both, []string{"nic=overlay", "bandwidth=nic-eth0"}}, {rack, both, nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStockScheduler(t, c.devices, storage, fast, rack)
			for i, a := range c.asks {
				if diff := cmp.Diff(a.want, s.allocate(claimDevices(a.network, a.class))); diff != "" {
					t.Errorf("claim %d: %s", i, diff)
				}
			}
		})
	}
}

// TestUplinkAsAWhole: a pod of type HostDevice or in mode Passthru gets an uplink that nobody uses, and nobody gets one beside it.
func TestUplinkAsAWhole(t *testing.T) {
	anywhere := func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink = v1alpha1.UplinkSelector{} }
	storage, owner, fast, tagged := network("storage"), network("owner", alone, anywhere), network("fast", virtual), network("tagged", func(n *v1alpha1.Network) {
		alone(n)
		n.Spec.Macvlan.VLAN = ptr(int32(100))
	})
	whole, addressed := network("whole", wholeNIC), network("addressed", wholeNIC, func(n *v1alpha1.Network) {
		n.Spec.HostDevice.NIC = v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.0", "0000:3b:00.1"}}
	})
	four := qosClass("four", "4G", "")
	one, two := newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("Uplink", "uplink-eth2", "eth2")
	vf, dirty := newDevice("VF", "vf0", "eth1"), withTaint(one)
	dirty.Taints[0].Key = "multinet.dev/dirty"
	onOne, onTwo := []string{"nic=uplink-eth1"}, []string{"nic=uplink-eth2"}
	users := request("mine", v1alpha1.DeviceClassName("storage")) // as users write claims
	type ask struct {
		claim resourcev1.DeviceClaim
		want  []string
	}
	plain := claimDevices(storage, nil)
	for name, c := range map[string]struct {
		devices []resourcev1.Device
		asks    []ask
	}{
		"first":            {[]resourcev1.Device{one}, []ask{{claimDevices(owner, nil), onOne}, {plain, nil}, {claimDevices(owner, nil), nil}, {claimDevices(storage, four), nil}}},
		"beside another":   {[]resourcev1.Device{one}, []ask{{plain, onOne}, {claimDevices(owner, nil), nil}, {plain, onOne}}},
		"with a guarantee": {[]resourcev1.Device{one}, []ask{{claimDevices(owner, four), onOne}, {plain, nil}}},
		"a PCI address": {[]resourcev1.Device{one, at(two, "0000:3b:00.1"), at(vf, "0000:3b:00.1")}, []ask{
			{claimDevices(addressed, nil), onTwo}, {claimDevices(addressed, nil), []string{"nic=vf0"}}, {claimDevices(addressed, nil), nil}, {claimDevices(fast, nil), nil}}},
		"a NIC that is down": {[]resourcev1.Device{withTaint(one)}, []ask{{plain, nil}, {claimDevices(owner, nil), nil}, {claimDevices(whole, nil), onOne}}},
		"a NIC, dirty":       {[]resourcev1.Device{dirty}, []ask{{claimDevices(whole, nil), nil}}},
		"a NIC, first":       {[]resourcev1.Device{one}, []ask{{claimDevices(whole, nil), onOne}, {plain, nil}, {claimDevices(whole, nil), nil}, {claimDevices(owner, nil), nil}}},
		"a NIC in use":       {[]resourcev1.Device{one, two}, []ask{{plain, onOne}, {claimDevices(whole, nil), nil}, {claimDevices(owner, nil), onTwo}}},
		"in a VLAN":          {[]resourcev1.Device{one}, []ask{{claimDevices(tagged, nil), onOne}, {plain, nil}}},
		"an uplink for each": {[]resourcev1.Device{one, two}, []ask{{plain, onOne}, {claimDevices(owner, nil), onTwo}, {claimDevices(owner, nil), nil}, {plain, onOne}}},
		"beside a user's claim": {[]resourcev1.Device{one}, []ask{
			{resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{users}}, []string{"mine=uplink-eth1"}}, {claimDevices(owner, nil), nil}}},
		// Its VFs are devices of their own, but its bandwidth is the owner's.
		"functions of the uplink": {[]resourcev1.Device{one, vf}, []ask{{claimDevices(owner, nil), onOne}, {claimDevices(fast, four), nil}, {claimDevices(fast, nil), []string{"nic=vf0"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStockScheduler(t, c.devices, storage, owner, fast, tagged, whole, addressed)
			for i, a := range c.asks {
				if diff := cmp.Diff(a.want, s.allocate(a.claim)); diff != "" {
					t.Errorf("claim %d: %s", i, diff)
				}
			}
		})
	}
}

// TestNICsCarryNoNetwork: what only has bandwidth is no uplink, for the scheduler as well as for the count of nodes.
func TestNICsCarryNoNetwork(t *testing.T) {
	any := network("any", func(n *v1alpha1.Network) {
		n.Spec.Macvlan.Uplink = v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth0"}}
	})
	s := newStockScheduler(t, []resourcev1.Device{newDevice("NIC", "nic-eth0", "eth0")}, any)
	if got := s.allocate(claimDevices(any, nil)); got != nil {
		t.Errorf("the claim got %v", got)
	}
	if nodes := MatchingNodes(any, []resourcev1.ResourceSlice{*s.slice}); len(nodes) != 0 {
		t.Errorf("nodes %v", nodes)
	}
}

// TestChoiceWithTheStockScheduler: of the Networks of a class the first is taken that has a device and the bandwidth, and the
// one request for bandwidth takes it from the NIC of whichever that is.
func TestChoiceWithTheStockScheduler(t *testing.T) {
	cheap, fast, rack := network("cheap"), network("fast", virtual), network("rack", overlaid)
	devices := []resourcev1.Device{newDevice("Uplink", "uplink-eth1", "eth1"), newDevice("VF", "vf0", "eth1"), newDevice("VF", "vf1", "eth2"),
		newDevice("NIC", "nic-eth2", "eth2"), newDevice("Overlay", "overlay", "eth0"), newDevice("NIC", "nic-eth0", "eth0")}
	four, best := qosClass("four", "4G", "1G"), qosClass("best", "", "")
	for name, test := range map[string]struct {
		class   *v1alpha1.QoSClass
		devices []resourcev1.Device
		offers  []*v1alpha1.Network
		want    [][]string
	}{
		"macvlan, then a function, then an overlay": {four, devices, []*v1alpha1.Network{cheap, fast, rack}, [][]string{
			{"nic/cheap=uplink-eth1", "bandwidth=uplink-eth1"}, {"nic/cheap=uplink-eth1", "bandwidth=uplink-eth1"}, {"nic/fast=vf1", "bandwidth=nic-eth2"},
			{"nic/rack=overlay", "bandwidth=nic-eth0"}, {"nic/rack=overlay", "bandwidth=nic-eth0"}, nil}},
		"the other way round": {four, devices, []*v1alpha1.Network{rack, fast, cheap}, [][]string{
			{"nic/rack=overlay", "bandwidth=nic-eth0"}, {"nic/rack=overlay", "bandwidth=nic-eth0"}, {"nic/fast=vf0", "bandwidth=uplink-eth1"}, {"nic/fast=vf1", "bandwidth=nic-eth2"},
			{"nic/cheap=uplink-eth1", "bandwidth=uplink-eth1"}, nil}},
		"without a guarantee": {best, devices, []*v1alpha1.Network{fast, cheap}, [][]string{{"nic/fast=vf0"}, {"nic/fast=vf1"}, {"nic/cheap=uplink-eth1"}, {"nic/cheap=uplink-eth1"}}},
		"not on this node":    {four, devices[:1], []*v1alpha1.Network{rack, fast, cheap}, [][]string{{"nic/cheap=uplink-eth1", "bandwidth=uplink-eth1"}}},
		"nowhere":             {four, devices[:1], []*v1alpha1.Network{rack, fast}, [][]string{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStockScheduler(t, test.devices, cheap, fast, rack)
			var offers []Offer
			for _, n := range test.offers {
				offers = append(offers, Offer{n.Name, n})
			}
			for i, want := range test.want {
				if diff := cmp.Diff(want, s.allocate(ClassTemplate("shop", test.class, offers).Spec.Spec.Devices)); diff != "" {
					t.Errorf("claim %d: %s", i, diff)
				}
			}
		})
	}
}
