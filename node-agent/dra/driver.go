// Package dra is the door of the kubelet, and tells the scheduler what the node has.
package dra

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// Sandboxes plans what a claim asks for. Prepare blocks while something transient is missing.
type Sandboxes interface {
	Prepare(context.Context, sandboxes.Request) error
	// CDIDevices are the devices of a prepared claim.
	CDIDevices(sandboxes.Request) ([]string, error)
	// Unprepared says that the kubelet needs claims no more, and has the sandboxes looked at.
	Unprepared(claims []types.UID)
	// AskAgain has the kubelet prepare the pods that it could not prepare while this agent was away.
	AskAgain(now time.Time)
}

// driver implements kubeletplugin.DRAPlugin.
type driver struct {
	log       logr.Logger
	sandboxes Sandboxes
}

// PrepareResourceClaims plans each claim, all at once: each may wait for the operator. The kubelet asks for the claims of one
// pod together, in the order of its spec, which is that of its selection.
func (d *driver) PrepareResourceClaims(ctx context.Context, claims []*resourceapi.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	results := make(map[types.UID]kubeletplugin.PrepareResult, len(claims))
	var mu sync.Mutex
	var preparing sync.WaitGroup
	for position, claim := range claims {
		preparing.Go(func() {
			result := d.prepare(ctx, claim, position)
			mu.Lock()
			defer mu.Unlock()
			results[claim.UID] = result
		})
	}
	preparing.Wait()
	return results, nil
}

func (d *driver) prepare(ctx context.Context, claim *resourceapi.ResourceClaim, position int) kubeletplugin.PrepareResult {
	request, err := requestOf(claim)
	request.Position = position
	if err == nil {
		err = d.sandboxes.Prepare(ctx, request)
	}
	var devices []string
	if err == nil {
		devices, err = d.sandboxes.CDIDevices(request)
	}
	if err != nil {
		d.log.Info("claim was not prepared", "claim", claim.Namespace+"/"+claim.Name, "cause", err.Error())
		return kubeletplugin.PrepareResult{Err: fmt.Errorf("multinet: %w", err)}
	}
	device := kubeletplugin.Device{Requests: []string{request.Claim.Request}, PoolName: request.Claim.Pool, DeviceName: request.Claim.Device, CDIDeviceIDs: devices}
	if id := types.UID(request.Claim.ShareID); id != "" {
		device.ShareID = &id
	}
	return kubeletplugin.PrepareResult{Devices: []kubeletplugin.Device{device}}
}

// requestOf reads from a claim which interface of which pod it stands for.
func requestOf(claim *resourceapi.ResourceClaim) (sandboxes.Request, error) {
	podClaimName := claim.Annotations[resourceapi.PodResourceClaimAnnotation]
	pod := metav1.GetControllerOf(claim)
	if pod == nil || pod.Kind != "Pod" || !strings.HasPrefix(podClaimName, v1alpha1.PodClaimPrefix) {
		return sandboxes.Request{}, fmt.Errorf("claim %s/%s was not made for the annotation %s of a pod: select the network there instead of naming a claim in the pod",
			claim.Namespace, claim.Name, v1alpha1.AnnotationNetworks)
	}
	ours, err := publish.ClaimOf(claim)
	if err != nil {
		return sandboxes.Request{}, err
	}
	return sandboxes.Request{
		Namespace: claim.Namespace, PodName: pod.Name, PodUID: pod.UID, PodClaimName: podClaimName, Claim: *ours,
	}, nil
}

// UnprepareResourceClaims frees nothing: with grace period 0 it comes before the sandbox is stopped, else after
// it, and the addresses are in use for as long as the sandbox is there. The attachment's deletion tells when a
// plan goes. It is a good time to look whether the sandbox is gone, since the runtime may not tell.
func (d *driver) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	results := make(map[types.UID]error, len(claims))
	for _, claim := range claims {
		results[claim.UID] = nil
	}
	d.sandboxes.Unprepared(slices.Collect(maps.Keys(results)))
	return results, nil
}

// HandleError logs: what the helper reports from its background is tried again by it.
func (d *driver) HandleError(_ context.Context, err error, msg string) {
	if !errors.Is(err, context.Canceled) {
		d.log.Error(err, msg)
	}
}

// WatchHealthStatus is not supported: the carrier is told by device taints.
func (d *driver) WatchHealthStatus(context.Context, chan<- kubeletplugin.DeviceHealthReport) error {
	return kubeletplugin.ErrHealthNotSupported
}
