package controllers

import (
	"context"
	"testing"
	"testing/synctest"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// claimsOf lists claims, and counts how often.
type claimsOf struct {
	client.Reader
	items []resourcev1.ResourceClaim
	lists int
}

func (c *claimsOf) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	c.lists++
	list.(*resourcev1.ResourceClaimList).Items = c.items
	return nil
}

// TestBandwidthIsCountedAnew: those who are woken by a change see it, also right after others have counted.
func TestBandwidthIsCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claim := resourcev1.ResourceClaim{Status: resourcev1.ResourceClaimStatus{Allocation: &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{
			Results: []resourcev1.DeviceRequestAllocationResult{{Driver: v1alpha1.DriverName, Pool: "node1", Device: "eth1",
				ConsumedCapacity: map[resourcev1.QualifiedName]resource.Quantity{v1alpha1.DeviceCapacityBandwidth: resource.MustParse("4G")}}}}}}}
		claims := &claimsOf{items: []resourcev1.ResourceClaim{claim}}
		counted := &bandwidth{Reader: claims}
		egress := func() int64 {
			booked, _, err := counted.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return booked[decide.DeviceKey{Pool: "node1", Device: "eth1"}].Egress
		}
		if first, second := egress(), egress(); first != 4e9 || second != 4e9 || claims.lists != 1 {
			t.Errorf("%d, then %d bit/s, counted %d times", first, second, claims.lists)
		}
		claims.items = nil
		woken := counted.anew(func(context.Context, client.Object) []types.NamespacedName {
			if now := egress(); now != 0 {
				t.Errorf("who is woken sees %d bit/s", now)
			}
			return []types.NamespacedName{{Name: "pod"}}
		})(t.Context(), &claim)
		if len(woken) != 1 || woken[0].Name != "pod" || claims.lists != 2 {
			t.Errorf("woken %v, counted %d times", woken, claims.lists)
		}
	})
}
