package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/ledger"
	"github.com/multinet-dev/multinet/node-agent/nri"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// agent is the parts of the node agent, wired.
type agent struct {
	options
	log         logr.Logger
	client      kubernetes.Interface
	devices     *dra.Devices
	attachments *watch.Attachments
	publisher   *publish.Publisher
	keeper      *sandboxes.Keeper
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
	a.devices = dra.NewDevices(func() ([]inventory.Device, error) { return inventory.Read(os.DirFS(o.sysRoot), config) })
	if _, err := a.devices.Refresh(); err != nil {
		return nil, err
	}
	plans, err := ledger.Open(o.ledgerDir())
	if err != nil {
		return nil, err
	}
	for _, damaged := range plans.Damaged() {
		log.Error(damaged, "a plan is made anew from the API")
	}
	clients, err := a.connect()
	if err != nil {
		return nil, err
	}
	// The cache wakes the keeper, which reads the cache: the keeper is there before the cache runs.
	a.attachments, err = watch.New(clients.Multinet, o.nodeName, func(types.UID) { a.keeper.Wake() })
	if err != nil {
		return nil, err
	}
	path := attach.New(attach.Options{ProcRoot: o.procRoot, SysRoot: o.sysRoot})
	a.publisher = publish.New(log.WithName("publish"), clients, a.attachments, o.defaultNetwork)
	a.keeper = sandboxes.New(ctx, sandboxes.Options{
		Log: log.WithName("sandboxes"), Attachments: a.attachments, Ledger: plans, Devices: a.devices,
		Path: path, Publisher: a.publisher,
		Claims: publish.Claims{Client: a.client}, Probe: probeOn(path),
		Files: sandboxes.Files{Dir: o.filesDir()}, NamespaceLives: sandboxes.NamespaceLives,
	}, plans.All())
	return a, nil
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

// run starts the doors last: what they call must be there. The runtime is connected before the kubelet, since a
// Prepare waits for it.
func (a *agent) run(ctx context.Context) error {
	// A part that ends early must take the others with it, or run would wait for them for ever.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { a.attachments.Run(ctx) })
	parts.Go(func() { a.publisher.Run(ctx) })
	parts.Go(func() { a.keeper.Run(ctx) })
	parts.Go(func() { nri.Run(ctx, a.log.WithName("nri"), a.nriSocket, a.keeper) })
	plugin, err := dra.Start(ctx, dra.Options{
		Log: a.log.WithName("dra"), Client: a.client, NodeName: a.nodeName, KubeletDir: a.kubeletDir,
		Sandboxes: a.keeper, Devices: a.devices,
	})
	if err != nil {
		cancel()
		parts.Wait()
		return err
	}
	defer plugin.Stop()
	parts.Go(func() { plugin.Run(ctx) })
	parts.Go(func() { a.watchUplinks(ctx, plugin) })
	a.log.Info("node agent runs", "devices", len(a.devices.All()))
	parts.Wait()
	return nil
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
