// Command gpudriver plays the DRA driver of GPUs: it offers devices that are nothing but a name and a PCIe root, and prepares
// them by doing nothing. Tests have it beside Multinet's driver, for claims with devices of both.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/dynamic-resource-allocation/deviceattribute"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
	"k8s.io/klog/v2"
)

const (
	driverName = "gpu.example.com"
	pluginDir  = "/var/lib/kubelet/plugins/" + driverName
)

func main() {
	node := flag.String("node", "", "`name` of the node")
	gpus := flag.String("gpus", "", "comma list of `NAME=WHERE`: the PCI address of a device on whose PCIe root the GPU is, or such a root")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *node, *gpus); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, node, gpus string) error {
	devices, err := parse(gpus)
	if err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("reaching the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the API server: %w", err)
	}
	if err := os.MkdirAll(pluginDir, 0o750); err != nil {
		return fmt.Errorf("making the folder of the plugin's socket: %w", err)
	}
	helper, err := kubeletplugin.Start(ctx, driver{}, kubeletplugin.DriverName(driverName), kubeletplugin.KubeClient(client),
		kubeletplugin.NodeName(node), kubeletplugin.HealthService(false))
	if err != nil {
		return fmt.Errorf("registering with the kubelet: %w", err)
	}
	defer helper.Stop()
	err = helper.PublishResources(ctx, resourceslice.DriverResources{
		Pools: map[string]resourceslice.Pool{node: {Slices: []resourceslice.Slice{{Devices: devices}}}}})
	if err != nil {
		return fmt.Errorf("publishing the devices: %w", err)
	}
	<-ctx.Done()
	return nil
}

func parse(gpus string) (devices []resourceapi.Device, err error) {
	for gpu := range strings.SplitSeq(gpus, ",") {
		name, where, found := strings.Cut(gpu, "=")
		if !found {
			return nil, fmt.Errorf("GPU %q: want NAME=WHERE", gpu)
		}
		root := deviceattribute.DeviceAttribute{Name: deviceattribute.StandardDeviceAttributePCIeRoot, Value: resourceapi.DeviceAttribute{StringValue: &where}}
		if !strings.HasPrefix(where, "pci") {
			if root, err = deviceattribute.GetPCIeRootAttributeByPCIBusID(where); err != nil {
				return nil, fmt.Errorf("GPU %s: %w", name, err)
			}
		}
		devices = append(devices, resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{root.Name: root.Value}})
	}
	return devices, nil
}

// driver implements kubeletplugin.DRAPlugin.
type driver struct{}

// PrepareResourceClaims hands over the devices as they are.
func (driver) PrepareResourceClaims(_ context.Context, claims []*resourceapi.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	results := map[types.UID]kubeletplugin.PrepareResult{}
	for _, claim := range claims {
		var result kubeletplugin.PrepareResult
		for _, allocated := range claim.Status.Allocation.Devices.Results {
			if allocated.Driver == driverName {
				result.Devices = append(result.Devices, kubeletplugin.Device{
					Requests: []string{allocated.Request}, PoolName: allocated.Pool, DeviceName: allocated.Device})
			}
		}
		results[claim.UID] = result
	}
	return results, nil
}

// UnprepareResourceClaims has nothing to take back.
func (driver) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	results := map[types.UID]error{}
	for _, claim := range claims {
		results[claim.UID] = nil
	}
	return results, nil
}

// HandleError logs what is tried again.
func (driver) HandleError(ctx context.Context, err error, msg string) {
	klog.FromContext(ctx).Error(err, msg)
}

// WatchHealthStatus is not supported.
func (driver) WatchHealthStatus(context.Context, chan<- kubeletplugin.DeviceHealthReport) error {
	return kubeletplugin.ErrHealthNotSupported
}
