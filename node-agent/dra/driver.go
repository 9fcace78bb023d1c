// Package dra is the door of the kubelet, and tells the scheduler what the node has.
package dra

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"

	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// Sandboxes plans what a request of a claim asks for. Prepare blocks while something transient is missing.
type Sandboxes interface {
	Prepare(context.Context, sandboxes.Request) error
	// CDIDevices are the devices of a prepared request.
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
	// pod is read for claims that a user wrote: its spec says by which entry it has the claim, its annotation which devices of it
	// become interfaces.
	pod func(ctx context.Context, namespace, name string, uid types.UID) (*corev1.Pod, error)
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
	requests, err := d.requestsOf(ctx, claim)
	for i := range requests {
		requests[i].Position = position
	}
	var devices []kubeletplugin.Device
	if err == nil {
		devices, err = d.prepareAll(ctx, requests)
	}
	if err != nil {
		d.log.Info("claim was not prepared", "claim", claim.Namespace+"/"+claim.Name, "cause", err.Error())
		return kubeletplugin.PrepareResult{Err: fmt.Errorf("multinet: %w", err)}
	}
	return kubeletplugin.PrepareResult{Devices: devices}
}

// prepareAll prepares the devices of one claim at once: each may wait as long as the kubelet does.
func (d *driver) prepareAll(ctx context.Context, requests []sandboxes.Request) ([]kubeletplugin.Device, error) {
	devices, errs := make([]kubeletplugin.Device, len(requests)), make([]error, len(requests))
	var preparing sync.WaitGroup
	for i, request := range requests {
		preparing.Go(func() { devices[i], errs[i] = d.prepareOne(ctx, request) })
	}
	preparing.Wait()
	return devices, errors.Join(errs...)
}

func (d *driver) prepareOne(ctx context.Context, request sandboxes.Request) (kubeletplugin.Device, error) {
	if err := d.sandboxes.Prepare(ctx, request); err != nil {
		return kubeletplugin.Device{}, err
	}
	cdi, err := d.sandboxes.CDIDevices(request)
	device := kubeletplugin.Device{Requests: []string{request.Claim.Request}, PoolName: request.Claim.Pool, DeviceName: request.Claim.Device, CDIDeviceIDs: cdi}
	if id := types.UID(request.Claim.ShareID); id != "" {
		device.ShareID = &id
	}
	return device, err
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
