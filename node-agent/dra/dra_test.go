package dra

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// podClaim is one that was made for the annotation, with a device of another driver beside ours.
func podClaim(name string) *resourceapi.ResourceClaim {
	controller, share := true, types.UID("share-"+name)
	return &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name),
			Annotations:     map[string]string{"resource.kubernetes.io/pod-claim-name": "multinet-storage-0"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "Pod", Name: "p", UID: "pod", Controller: &controller}}},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{
			{Name: "gpu", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu.example.com"}},
			{Name: "nic", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "storage.multinet.dev"}},
			{Name: "bandwidth", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "nic.bandwidth.multinet.dev"}},
		}}},
		Status: resourceapi.ResourceClaimStatus{
			ReservedFor: []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "pod"}},
			Allocation: &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
				{Request: "bandwidth", Driver: v1alpha1.DriverName, Pool: "node", Device: "uplink-eth1", ShareID: &share},
				{Request: "gpu", Driver: "gpu.example.com", Pool: "node", Device: "gpu0"},
				{Request: "nic", Driver: v1alpha1.DriverName, Pool: "node", Device: "uplink-eth1", ShareID: &share},
			}}},
		},
	}
}

// slow takes a second for each claim and refuses "bad".
type slow struct {
	mu    sync.Mutex
	calls int
}

func (s *slow) Prepare(_ context.Context, r sandboxes.Request) error {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if r.Claim.Name == "bad" || r.Claim.Request == "bad" {
		return errors.New("no luck")
	}
	return nil
}

func (s *slow) CDIDevices(r sandboxes.Request) ([]string, error) {
	return []string{"multinet.dev/vf=" + r.Claim.Name + "-" + r.Claim.BaseRequest()}, nil
}
func (s *slow) Unprepared([]types.UID) {}
func (s *slow) AskAgain(time.Time)     {}

func TestPrepareAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &driver{log: logr.Discard(), sandboxes: &slow{}}
		begin := time.Now()
		results, err := d.PrepareResourceClaims(t.Context(), []*resourceapi.ResourceClaim{podClaim("a"), podClaim("bad"), podClaim("c")})
		if err != nil || len(results) != 3 {
			t.Fatal(results, err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %s", took)
		}
		if err := results["bad"].Err; err == nil || err.Error() != "multinet: no luck" {
			t.Errorf("bad: %v", err)
		}
		share := types.UID("share-a")
		want := []kubeletplugin.Device{{Requests: []string{"nic"}, PoolName: "node", DeviceName: "uplink-eth1", ShareID: &share, CDIDeviceIDs: []string{"multinet.dev/vf=a-nic"}}}
		if diff := cmp.Diff(want, results["a"].Devices); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDevice(t *testing.T) {
	numa := 1
	nic := inventory.Device{Name: "uplink-ens1", Kind: v1alpha1.DeviceKindUplink, Interface: "ens1", Driver: "mlx5_core", Vendor: "0x15b3", PCIAddress: "0000:3b:00.0",
		PCIeRoot: "pci0000:3a", NUMANode: &numa, LinkSpeed: 25e9, Bandwidth: 20e9, Promised: 30e9, Carrier: true, MAC: "02:00:00:00:00:01"}
	got := device(nic, nil)
	text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	number := func(n int64) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{IntValue: &n} }
	want := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"kind": text("Uplink"), "interface": text("ens1"), "nic": text("ens1"), "driver": text("mlx5_core"), "vendor": text("0x15b3"), "mac": text("02:00:00:00:00:01"),
		"linkSpeed": number(25e9), "resource.kubernetes.io/pcieRoot": text("pci0000:3a"),
		"resource.kubernetes.io/pciBusID": text("0000:3b:00.0"), "resource.kubernetes.io/numaNode": number(1),
	}
	if diff := cmp.Diff(want, got.Attributes); diff != "" {
		t.Error(diff)
	}
	for _, name := range []resourceapi.QualifiedName{"bandwidth", "ingressBandwidth"} {
		if capacity := got.Capacity[name]; capacity.Value.Cmp(resource.MustParse("30G")) != 0 || !capacity.RequestPolicy.Default.IsZero() {
			t.Errorf("capacity %s: %+v", name, capacity)
		}
	}
	if links := got.Capacity["links"]; links.Value.Value() != v1alpha1.WholeUplink || links.RequestPolicy.Default.Value() != 1 || links.RequestPolicy.ValidRange.Min.Value() != 1 {
		t.Errorf("capacity links: %+v", links)
	}
	if len(got.Taints) != 0 {
		t.Errorf("tainted with a carrier: %v", got.Taints)
	}
	nic.Carrier = false
	if taints := device(nic, nil).Taints; len(taints) != 1 || taints[0].Key != v1alpha1.DeviceTaintNoCarrier || taints[0].Effect != resourceapi.DeviceTaintEffectNoSchedule {
		t.Errorf("taints without a carrier: %v", taints)
	}
}

func TestDevices(t *testing.T) {
	list := []inventory.Device{
		{Name: "b", Kind: v1alpha1.DeviceKindUplink, Interface: "eth2", LinkSpeed: 1e9, MAC: "aa:bb:cc:00:00:01", PCIAddress: "0000:3b:00.1"},
		{Name: "a", Kind: v1alpha1.DeviceKindUplink, Interface: "eth1", Driver: "virtio_net", LinkSpeed: 10e9, Carrier: true},
		{Name: "0", Kind: v1alpha1.DeviceKindOverlay, Interface: "eth0", LinkSpeed: 25e9, Carrier: true},
	}
	d := NewDevices(func() (Node, error) { return Node{Devices: slices.Clone(list)}, nil })
	if changed, err := d.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if changed, err := d.Refresh(); changed || err != nil {
		t.Errorf("changed %v without a change, %v", changed, err)
	}
	if !d.Carrier(plan.Device{Uplink: "eth1"}) || !d.Carrier(plan.Device{Uplink: "eth0"}) || d.Carrier(plan.Device{Uplink: "eth2"}) || d.Carrier(plan.Device{Uplink: "eth9"}) {
		t.Error("carrier")
	}
	fast := resource.MustParse("5G")
	for name, test := range map[string]struct {
		selector v1alpha1.UplinkSelector
		want     string
	}{
		"by name":   {v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth2"}}, "b"},
		"by driver": {v1alpha1.UplinkSelector{Driver: "virtio_net"}, "a"},
		"by speed":  {v1alpha1.UplinkSelector{MinLinkSpeed: &fast}, "a"},
		"by MAC":    {v1alpha1.UplinkSelector{MACs: []string{"aa:bb:cc:00:00:02", "aa:bb:cc:00:00:01"}}, "b"},
		"by PCI":    {v1alpha1.UplinkSelector{PCIAddresses: []string{"0000:3b:00.1"}}, "b"},
		"no MAC":    {v1alpha1.UplinkSelector{MACs: []string{"aa:bb:cc:00:00:02"}}, ""},
		"overlay":   {v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth0"}}, ""},
		"none":      {v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth2"}, MinLinkSpeed: &fast}, ""},
	} {
		if got, ok := d.Select(test.selector); got.Name != test.want || ok != (test.want != "") {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}
