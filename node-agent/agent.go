package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/k8snetworkplumbingwg/sriovnet"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/ledger"
	"github.com/multinet-dev/multinet/node-agent/overlay"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/podresources"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/qos"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// agent is the parts of the node agent, wired.
type agent struct {
	options
	log         logr.Logger
	client      kubernetes.Interface
	node        *watch.Node
	devices     *dra.Devices
	deviceLoop  *deviceLoop
	attachments *watch.Attachments
	publisher   *publish.Publisher
	overlays    *overlay.Manager
	events      *nodeEvents
	qos         *qos.Manager
	keeper      *sandboxes.Keeper
	door        sandboxes.Door
}

func newAgent(ctx context.Context, o options, log logr.Logger) (*agent, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	a := &agent{options: o, log: log}
	config, err := o.inventoryConfig()
	if err != nil {
		return nil, err
	}
	a.door = doorOf(config, o.nodeName)
	plans, err := ledger.Open(o.ledgerDir())
	if err != nil {
		return nil, err
	}
	for _, damaged := range plans.Damaged() {
		log.Error(damaged, "a plan is made anew from the API")
	}
	records, err := o.openRecords(log)
	if err != nil {
		return nil, err
	}
	clients, err := a.connect()
	if err != nil {
		return nil, err
	}
	plugins := o.plugins(config, records, log)
	if err := a.readDevices(config, plugins.Ready); err != nil {
		return nil, err
	}
	// The cache wakes the keeper, which reads the cache: the keeper is there before the cache runs.
	a.attachments, err = watch.New(clients.Multinet, o.nodeName, func(types.UID) { a.keeper.Wake() })
	if err != nil {
		return nil, err
	}
	a.events = newNodeEvents(a.client.CoreV1(), o.nodeName)
	a.qos = qos.New(qos.Options{Log: log.WithName("qos"), Open: kernel.OpenNode, Dir: o.bpfDir, Speed: a.devices.Bandwidth})
	path := attach.New(attach.Options{ProcRoot: o.procRoot, SysRoot: o.sysRoot, Guards: a.qos})
	a.publisher = publish.New(log.WithName("publish"), clients, a.attachments, o.defaultNetwork)
	a.overlays = overlay.New(ctx, overlay.Options{
		Log: log.WithName("overlay"), NodeName: o.nodeName, Watch: watchRack(clients.Multinet),
		Node: overlay.NewNode(path, kernel.OpenNode), Remade: func() { a.keeper.UplinksChanged() },
	})
	a.keeper = sandboxes.New(ctx, sandboxes.Options{
		Log: log.WithName("sandboxes"), Attachments: a.attachments, Ledger: plans, Devices: offered{a.devices, a.deviceLoop},
		Path: path, Plugins: plugins, Overlays: a.overlays, QoS: a.qos, Publisher: a.publisher,
		Claims: publish.Claims{Client: a.client}, Probe: probeOn(path),
		PodDevices: &podresources.Kubelet{Socket: filepath.Join(o.kubeletDir, "pod-resources", "kubelet.sock"), Pod: publish.Claims{Client: a.client}.Pod},
		TellNode:   a.events.tell,
		Files:      sandboxes.Files{Dir: o.filesDir()}, NamespaceLives: sandboxes.NamespaceLives,
		Numbers: kernel.Sys(o.sysRoot).Numbers, CDI: sandboxes.CDI{Dir: o.cdiDir}, DeviceInfo: sandboxes.DeviceInfo{Dir: o.deviceInfoDir},
		Selected: records.selected, Present: records.present, Door: a.door,
	}, plans.All())
	counts := &vfCounts{
		log: log.WithName("vfs"), config: config, place: a.node.Place, has: a.hasInterface,
		change: a.keeper.ChangeVFs, ensure: path.EnsureVFs, said: map[string]string{},
	}
	a.deviceLoop.ahead, a.deviceLoop.again = counts.apply, a.keeper.Inspect
	return a, nil
}

func (a *agent) hasInterface(name string) bool {
	_, err := os.Stat(filepath.Join(a.sysRoot, "class/net", name))
	return err == nil
}

// readDevices reads what can be known before the Node object is.
func (a *agent) readDevices(config inventory.Config, plugins func() []string) (err error) {
	// Changes wake the loop, which has the keeper look: all are there before the node is watched.
	a.node, err = watch.NewNode(a.client.CoreV1().RESTClient(), a.nodeName, func() { a.deviceLoop.notify() })
	if err != nil {
		return err
	}
	reader := deviceReader{
		sys: os.DirFS(a.sysRoot), config: config, place: a.node.Place, holder: kernel.Holder, representor: sriovnet.GetVfRepresentor,
		plugins: plugins, lent: a.lentNICs,
	}
	a.devices = dra.NewDevices(reader.read)
	a.deviceLoop = newDeviceLoop(a.log, a.devices, func() { a.keeper.UplinksChanged() })
	_, err = a.devices.Refresh()
	return err
}

// lentNICs are none until the keeper is there: nothing is published before.
func (a *agent) lentNICs() []plan.Attachment {
	if a.keeper == nil {
		return nil
	}
	return a.keeper.LentNICs()
}

func (o options) inventoryConfig() (inventory.Config, error) {
	if o.config == "" {
		return inventory.Config{}, nil
	}
	data, err := os.ReadFile(o.config)
	if err != nil {
		return inventory.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	config, err := inventory.ParseConfig(data)
	if err != nil {
		return inventory.Config{}, fmt.Errorf("configuration %s: %w", o.config, err)
	}
	return config, nil
}

// connect makes one HTTP client that all API clients share.
func (a *agent) connect() (publish.Clients, error) {
	config, err := a.restConfig()
	if err != nil {
		return publish.Clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return publish.Clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return publish.Clients{}, fmt.Errorf("client of the API server: %w", err)
	}
	a.client = client
	multinet, err := watch.NewClient(config, httpClient)
	return publish.Clients{Core: client.CoreV1().RESTClient(), Resources: client.ResourceV1().RESTClient(), Multinet: multinet}, err
}

func (a *agent) restConfig() (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	if a.kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", a.kubeconfig)
	}
	if err != nil {
		return nil, err
	}
	config.UserAgent = "multinet-agent"
	config.QPS, config.Burst = float32(a.qps), a.burst
	// Protobuf for the built-in groups: less to parse and less memory.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return config, nil
}

// nodeReminder is the pause between two lines that say what the agent waits for.
const nodeReminder = 10 * time.Second

// run starts the doors last: what they call must be there. The runtime is connected before the kubelet, since a
// Prepare waits for it.
func (a *agent) run(ctx context.Context) error {
	// A part that ends early must take the others with it, or run would wait for them for ever.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.events.stop()
	a.keeper.StartOverlays()
	a.keeper.StartQoS()
	var parts sync.WaitGroup
	parts.Go(func() { a.node.Run(ctx) })
	parts.Go(func() { a.attachments.Run(ctx) })
	parts.Go(func() { a.publisher.Run(ctx) })
	parts.Go(func() { a.keeper.Run(ctx) })
	parts.Go(func() { a.serveMetrics(ctx) })
	var doorErr error
	parts.Go(func() {
		if doorErr = a.openDoor(ctx); doorErr != nil {
			cancel()
		}
	})
	plugin, err := a.startPlugin(ctx, a.keeper)
	if err != nil {
		ended := ctx.Err() != nil
		cancel()
		parts.Wait()
		if ended {
			return doorErr
		}
		return err
	}
	defer plugin.Stop()
	parts.Go(func() { plugin.Run(ctx) })
	parts.Go(func() { a.deviceLoop.watchLinks(ctx, a.overlays.LinkChanged) })
	parts.Go(func() { a.deviceLoop.watchDevices(ctx) })
	parts.Go(func() { a.deviceLoop.run(ctx, plugin.Publish) })
	a.deviceLoop.logDevices("node agent runs")
	parts.Wait()
	return doorErr
}

// startPlugin publishes the devices when it is known where the node is: without the attribute of their rack they would be
// taken for devices of no rack, and pods for a rack-local network would not be placed here.
func (a *agent) startPlugin(ctx context.Context, claims dra.Sandboxes) (*dra.Plugin, error) {
	if err := a.waitNode(ctx); err != nil {
		return nil, fmt.Errorf("wait for Node %q: %w", a.nodeName, err)
	}
	a.deviceLoop.ahead()
	if _, err := a.devices.Refresh(); err != nil {
		return nil, err
	}
	a.deviceLoop.tell() // of the overlay
	return dra.Start(ctx, dra.Options{
		Log: a.log.WithName("dra"), Client: a.client, NodeName: a.nodeName, KubeletDir: a.kubeletDir,
		Sandboxes: claims, Devices: a.devices,
	})
}

// waitNode waits until the API server has told of the Node. An API server that refuses connections is asked again without a word by the
// library, and nothing goes on here meanwhile: that is said.
func (a *agent) waitNode(ctx context.Context) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, nodeReminder)
		err := a.node.WaitKnown(waiting)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		a.log.Info("the API server has not told of this Node yet, pods that select networks wait", "server", a.client.CoreV1().RESTClient().Get().URL().Host)
	}
}

// watchRack returns the watch of the attachments of racks.
func watchRack(client rest.Interface) overlay.Watch {
	return func(ctx context.Context, network, rack string, to watch.RackReceiver) {
		watch.Rack(ctx, client, network, rack, to)
	}
}

// probeOn returns the probe of the attach path.
func probeOn(path *attach.Attacher) sandboxes.Probe {
	return func(ctx context.Context, a plan.Attachment) ([]plan.Conflict, error) {
		found, err := path.Probe(ctx, a)
		conflicts := make([]plan.Conflict, 0, len(found))
		for _, c := range found {
			conflicts = append(conflicts, plan.Conflict{Addr: c.Addr, MAC: plan.HardwareAddr(c.MAC)})
		}
		return conflicts, err
	}
}
