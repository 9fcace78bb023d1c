package dra

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"k8s.io/client-go/kubernetes"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceslices,verbs=get;list;watch;create;update;patch;delete

// republishAfter is how long after a registration the ResourceSlices are published again. A kubelet that starts
// deletes those of its node, and the helper by itself waits half a minute before it writes them again. Its informer
// must have seen the deletion by then, else it finds nothing to do.
const republishAfter = 2 * time.Second

// askLastAfter is how long after a registration the pods that the kubelet could not prepare before it are asked for the last
// time. Those that were bound in the seconds before cannot be told from those that are being prepared until then.
const askLastAfter = 8 * time.Second

// Options of a Plugin.
type Options struct {
	Log        logr.Logger
	Client     kubernetes.Interface
	NodeName   string
	KubeletDir string
	Sandboxes  Sandboxes
	Devices    *Devices
}

// Plugin serves the kubelet and keeps the node's ResourceSlices.
type Plugin struct {
	Options
	helper     *kubeletplugin.Helper
	registered chan struct{}

	// publishing has the devices that are read later be told later.
	publishing sync.Mutex
	tell       func(context.Context, resourceslice.DriverResources) error
}

// Start registers with the kubelet and publishes the devices. Stop must be called at the end.
func Start(ctx context.Context, o Options) (*Plugin, error) {
	p := &Plugin{Options: o, registered: make(chan struct{}, 1)}
	dir := filepath.Join(o.KubeletDir, "plugins", v1alpha1.DriverName)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create the folder of the plugin's socket: %w", err)
	}
	helper, err := kubeletplugin.Start(ctx, &driver{log: o.Log, sandboxes: o.Sandboxes, pod: publish.Claims{Client: o.Client}.Pod},
		kubeletplugin.DriverName(v1alpha1.DriverName),
		kubeletplugin.KubeClient(o.Client),
		kubeletplugin.NodeName(o.NodeName),
		kubeletplugin.PluginDataDirectoryPath(dir),
		kubeletplugin.RegistrarDirectoryPath(filepath.Join(o.KubeletDir, "plugins_registry")),
		// One pod that waits for its network must not hold up the others.
		kubeletplugin.Serialize(false),
		kubeletplugin.HealthService(false),
		kubeletplugin.GRPCVerbosity(6),
		kubeletplugin.GRPCInterceptor(p.watchRegistration))
	if err != nil {
		return nil, fmt.Errorf("start the DRA plugin: %w", err)
	}
	p.helper, p.tell = helper, helper.PublishResources
	if err := p.Publish(ctx); err != nil {
		helper.Stop()
		return nil, err
	}
	return p, nil
}

// Stop unregisters.
func (p *Plugin) Stop() { p.helper.Stop() }

// Publish tells the scheduler of the devices as they are now. Nothing is written where nothing changed.
func (p *Plugin) Publish(ctx context.Context) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	if err := p.tell(ctx, resources(p.NodeName, p.Devices.Node())); err != nil {
		return fmt.Errorf("publish the node's devices: %w", err)
	}
	return nil
}

func (p *Plugin) watchRegistration(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if strings.HasSuffix(info.FullMethod, "/NotifyRegistrationStatus") {
		select {
		case p.registered <- struct{}{}:
		default:
		}
	}
	return handler(ctx, request)
}

// Run publishes again after each registration, and has pods prepared that were missed, until ctx ends.
func (p *Plugin) Run(ctx context.Context) {
	var again, last <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.registered:
			again, last = time.After(republishAfter), time.After(askLastAfter)
		case <-again:
			again = nil
			if err := p.Publish(ctx); err != nil {
				p.Log.Error(err, "after registration with the kubelet")
			}
			p.Sandboxes.AskAgain(time.Now())
		case <-last:
			last = nil
			p.Sandboxes.AskAgain(time.Now())
		}
	}
}
