package dra

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// ownClaim is one that a user wrote: a GPU and two VFs, one of which is the first of two choices.
func ownClaim() *resourceapi.ResourceClaim {
	claim := podClaim("own")
	claim.Annotations, claim.OwnerReferences = nil, nil
	exactly := func(name, class string) resourceapi.DeviceRequest {
		return resourceapi.DeviceRequest{Name: name, Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: class}}
	}
	claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{exactly("gpu", "gpu.example.com"), exactly("left", "red.multinet.dev"), {
		Name: "right", FirstAvailable: []resourceapi.DeviceSubRequest{
			{Name: "fast", DeviceClassName: "blue.multinet.dev"}, {Name: "slow", DeviceClassName: "storage.multinet.dev"}},
	}}
	claim.Status.Allocation.Devices.Results = []resourceapi.DeviceRequestAllocationResult{
		{Request: "gpu", Driver: "gpu.example.com", Pool: "node", Device: "gpu0"},
		{Request: "left", Driver: v1alpha1.DriverName, Pool: "node", Device: "vf-1"},
		{Request: "right/fast", Driver: v1alpha1.DriverName, Pool: "node", Device: "vf-2"},
	}
	return claim
}

func owner() *corev1.Pod {
	name := "own"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "pod",
			Annotations: map[string]string{v1alpha1.AnnotationNetworks: "claim=pair/left@a,storage,claim=pair/right"}},
		Spec: corev1.PodSpec{ResourceClaims: []corev1.PodResourceClaim{{Name: "pair", ResourceClaimName: &name}}},
	}
}

func driverOf(s Sandboxes, pod *corev1.Pod) *driver {
	return &driver{log: logr.Discard(), sandboxes: s, pod: func(context.Context, string, string, types.UID) (*corev1.Pod, error) { return pod, nil }}
}

func TestRequestsOf(t *testing.T) {
	of := func(entry, claim, request, device, share, network string) sandboxes.Request {
		return sandboxes.Request{Namespace: "ns", PodName: "p", PodUID: "pod", PodClaimName: entry, Network: network,
			Claim: plan.Claim{Name: claim, UID: types.UID(claim), Request: request, Pool: "node", Device: device, ShareID: share}}
	}
	ofAnnotation := []sandboxes.Request{of("multinet-storage-0", "c", "nic", "uplink-eth1", "share-c", "storage")}
	ofUser := []sandboxes.Request{of("pair", "own", "left", "vf-1", "", "red"), of("pair", "own", "right/fast", "vf-2", "", "blue")}
	tests := map[string]struct {
		claim  *resourceapi.ResourceClaim
		change func(*resourceapi.ResourceClaim, *corev1.Pod)
		want   []sandboxes.Request
		says   string
	}{
		"of the annotation": {claim: podClaim("c"), want: ofAnnotation},
		"a user's own":      {claim: ownClaim(), want: ofUser},
		"of a user's template": {claim: ownClaim(), want: ofUser, change: func(c *resourceapi.ResourceClaim, p *corev1.Pod) {
			p.Spec.ResourceClaims[0] = corev1.PodResourceClaim{Name: "pair", ResourceClaimTemplateName: new(string)}
			p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "pair", ResourceClaimName: &c.Name}}
		}},
		"a user's own, marked as ours": {claim: ownClaim(), want: ofUser, change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) {
			c.Annotations = map[string]string{"resource.kubernetes.io/pod-claim-name": "multinet-storage-0"}
		}},
		"of a class": {claim: podClaim("c"), want: []sandboxes.Request{of("multinet--bulk-0", "c", "nic/dear", "uplink-eth1", "share-c", "dear")},
			change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) {
				c.Annotations["resource.kubernetes.io/pod-claim-name"] = "multinet--bulk-0"
				c.Spec.Devices.Requests[1] = resourceapi.DeviceRequest{Name: "nic", FirstAvailable: []resourceapi.DeviceSubRequest{
					{Name: "cheap", DeviceClassName: "cheap.multinet.dev"}, {Name: "dear", DeviceClassName: "dear.multinet.dev"}}}
				c.Status.Allocation.Devices.Results[2].Request = "nic/dear"
			}},
		"a device that is not selected": {claim: ownClaim(), says: `request "right" that pod p does not select: add "claim=pair/right" to its annotation multinet.dev/networks`,
			change: func(_ *resourceapi.ResourceClaim, p *corev1.Pod) {
				p.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/left"
			}},
		"nothing selected": {claim: ownClaim(), says: `add "claim=pair/left" to its annotation`,
			change: func(_ *resourceapi.ResourceClaim, p *corev1.Pod) { p.Annotations = nil }},
		"an entry that is not the pod's": {claim: ownClaim(), says: "its spec.resourceClaims does not name it",
			change: func(_ *resourceapi.ResourceClaim, p *corev1.Pod) { p.Spec.ResourceClaims = nil }},
		"shared by pods": {claim: ownClaim(), says: "reserved for [pods/p pods/q] and not for one pod", change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) {
			c.Status.ReservedFor = append(c.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{Resource: "pods", Name: "q", UID: "other"})
		}},
		"of a group of pods": {claim: ownClaim(), says: "reserved for [podgroups/g] and not for one pod", change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) {
			c.Status.ReservedFor = []resourceapi.ResourceClaimConsumerReference{{APIGroup: "scheduling.k8s.io", Resource: "podgroups", Name: "g", UID: "g"}}
		}},
		"several devices for a request": {claim: ownClaim(), says: `several devices of driver multinet.dev for request "left"`, change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) {
			c.Status.Allocation.Devices.Results[2].Request = "left"
		}},
		"without our device": {claim: podClaim("c"), says: "has no device of driver multinet.dev", change: func(c *resourceapi.ResourceClaim, _ *corev1.Pod) { c.Status.Allocation = nil }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := owner()
			if test.change != nil {
				test.change(test.claim, pod)
			}
			got, err := driverOf(nil, pod).requestsOf(t.Context(), test.claim)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("error %v, want %q", err, test.says)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

// TestPrepareSeveralDevices: all devices of ours in a claim are prepared, at once, and each is told with its request.
func TestPrepareSeveralDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := driverOf(&slow{}, owner())
		begin := time.Now()
		results, err := d.PrepareResourceClaims(t.Context(), []*resourceapi.ResourceClaim{ownClaim()})
		if took := time.Since(begin); err != nil || results["own"].Err != nil || took != time.Second {
			t.Fatalf("%v %v after %s", err, results["own"].Err, took)
		}
		want := []kubeletplugin.Device{
			{Requests: []string{"left"}, PoolName: "node", DeviceName: "vf-1", CDIDeviceIDs: []string{"multinet.dev/vf=own-left"}},
			{Requests: []string{"right/fast"}, PoolName: "node", DeviceName: "vf-2", CDIDeviceIDs: []string{"multinet.dev/vf=own-right"}},
		}
		if diff := cmp.Diff(want, results["own"].Devices); diff != "" {
			t.Error(diff)
		}

		claim, pod := ownClaim(), owner()
		claim.Status.Allocation.Devices.Results[1].Request = "bad"
		pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/bad,claim=pair/right"
		results, _ = driverOf(&slow{}, pod).PrepareResourceClaims(t.Context(), []*resourceapi.ResourceClaim{claim})
		if err := results["own"].Err; err == nil || err.Error() != "multinet: no luck" || len(results["own"].Devices) > 0 {
			t.Errorf("one of two devices failed: %+v", results["own"])
		}
	})
}
