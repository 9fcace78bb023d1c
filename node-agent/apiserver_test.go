package main

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// startAPIServer skips the test where there are no binaries of an API server.
func startAPIServer(t *testing.T) kubernetes.Interface {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const why = "needs kube-apiserver and etcd: set KUBEBUILDER_ASSETS, see `make test-api`"
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			t.Fatal(why)
		}
		t.Skip("skipped: " + why)
	}
	environment := &envtest.Environment{}
	config, err := environment.Start()
	check(t, err)
	t.Cleanup(func() { check(t, environment.Stop()) })
	client, err := kubernetes.NewForConfig(config)
	check(t, err)
	return client
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// idle plans nothing.
type idle struct{}

func (idle) CDIDevices(sandboxes.Request) ([]string, error)   { return nil, nil }
func (idle) Prepare(context.Context, sandboxes.Request) error { return nil }
func (idle) Unprepared([]types.UID)                           {}
func (idle) AskAgain(time.Time)                               {}

// attributes are the texts that a device carries, by name.
type attributes map[string]string

// published is the devices of slices by name.
func published(slices ...resourceapi.ResourceSlice) map[string]attributes {
	devices := map[string]attributes{}
	for _, slice := range slices {
		for _, device := range slice.Spec.Devices {
			devices[device.Name] = attributes{}
			for name, value := range device.Attributes {
				if value.StringValue != nil {
					devices[device.Name][string(name)] = *value.StringValue
				}
			}
		}
	}
	return devices
}

func uplinkIn(topology attributes) attributes {
	all := attributes{"kind": "Uplink", "interface": "eth0", "nic": "eth0", "mac": "02:00:00:00:00:01"}
	maps.Copy(all, topology)
	return all
}

func overlayIn(topology attributes) attributes {
	all := attributes{"kind": "Overlay", "interface": "eth0", "nic": "eth0"}
	maps.Copy(all, topology)
	return all
}

// newPublishing is an agent with the parts that publish devices, on a node with eth0. tell is called when they changed.
func newPublishing(t *testing.T, client kubernetes.Interface, tell func()) *agent {
	dir, err := os.MkdirTemp("", "kubelet") // t.TempDir is too long for the name of a socket
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, os.MkdirAll(filepath.Join(dir, "plugins_registry"), 0o750))
	a := &agent{options: options{nodeName: "n1", kubeletDir: dir}, log: logr.Discard(), client: client}
	a.node, err = watch.NewNode(client.CoreV1().RESTClient(), "n1", func() { a.deviceLoop.notify() })
	check(t, err)
	config, err := inventory.ParseConfig([]byte("uplinks: [{name: eth0, bandwidth: 1G}]\ntopologyKeys: [example.com/the-row]"))
	check(t, err)
	own := netip.MustParseAddr("192.0.2.1")
	a.devices = dra.NewDevices(deviceReader{sys: sysfs(), config: config, place: a.node.Place, plugins: func() []string { return nil }, lent: a.lentNICs,
		holder: func(address netip.Addr) (string, bool, error) { return "eth0", address == own, nil }}.read)
	a.deviceLoop = newDeviceLoop(a.log, a.devices, tell)
	return a
}

// runPublishing runs the parts until the test ends.
func runPublishing(t *testing.T, a *agent) {
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { a.node.Run(ctx) })
	parts.Go(func() {
		plugin, err := a.startPlugin(ctx, idle{})
		if err != nil {
			t.Error(err)
			return
		}
		defer plugin.Stop()
		a.deviceLoop.run(ctx, plugin.Publish)
	})
	t.Cleanup(func() { cancel(); parts.Wait() })
}

// TestSlicesFollowTheNode has the parts that publish devices at work on a real API server.
func TestSlicesFollowTheNode(t *testing.T) {
	client := startAPIServer(t)
	slices, nodes := client.ResourceV1().ResourceSlices(), client.CoreV1().Nodes()
	events, err := slices.Watch(t.Context(), metav1.ListOptions{})
	check(t, err)
	defer events.Stop()
	var told atomic.Int32
	runPublishing(t, newPublishing(t, client, func() { told.Add(1) }))

	_, err = nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "n1", Labels: map[string]string{"topology.multinet.dev/rack": "r1"}}}, metav1.CreateOptions{})
	check(t, err)
	r1, gone := attributes{"rack": "r1"}, attributes{"example.com/the_row": "7"}
	first, _ := (<-events.ResultChan()).Object.(*resourceapi.ResourceSlice)
	if diff := cmp.Diff(map[string]attributes{"uplink-eth0": uplinkIn(r1)}, published(*first)); diff != "" {
		t.Errorf("the first slice does not wait for the rack (-want +got):\n%s", diff)
	}

	all := attributes{"rack": "r2", "kubernetes.io/hostname": "n1", "example.com/the_row": "7"}
	for _, step := range []struct {
		name, patch, subresource string
		want                     map[string]attributes
	}{
		{"an address of eth0", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}`, "status",
			map[string]attributes{"uplink-eth0": uplinkIn(r1), "overlay": overlayIn(r1)}},
		{"another rack and more labels", `{"metadata":{"labels":{"topology.multinet.dev/rack":"r2","kubernetes.io/hostname":"n1","example.com/the-row":"7","a":"b"}}}`, "",
			map[string]attributes{"uplink-eth0": uplinkIn(all), "overlay": overlayIn(all)}},
		{"labels gone and empty", `{"metadata":{"labels":{"topology.multinet.dev/rack":null,"kubernetes.io/hostname":""}}}`, "",
			map[string]attributes{"uplink-eth0": uplinkIn(gone), "overlay": overlayIn(gone)}},
		{"an address of no interface", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`, "status",
			map[string]attributes{"uplink-eth0": uplinkIn(gone)}},
	} {
		begin := time.Now()
		_, err := nodes.Patch(t.Context(), "n1", types.MergePatchType, []byte(step.patch), metav1.PatchOptions{}, step.subresource)
		check(t, err)
		var got map[string]attributes
		// Far less than lookEvery: only the event can be the reason.
		err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, lookEvery/3, true, func(ctx context.Context) (bool, error) {
			list, err := slices.List(ctx, metav1.ListOptions{})
			check(t, err)
			got = published(list.Items...)
			return cmp.Equal(step.want, got), nil
		})
		if err != nil {
			t.Fatalf("%s: %v (-want +got):\n%s", step.name, err, cmp.Diff(step.want, got))
		}
		t.Logf("%s: published after %s", step.name, time.Since(begin).Round(time.Millisecond))
	}
	if n := told.Load(); n != 5 {
		t.Errorf("the keeper was told of %d changes, want one as the node became known and 4 later", n)
	}
}
