package watch

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// rackView is what a RackReceiver was told: each attachment's node, or "deleting".
type rackView struct {
	mu       sync.Mutex
	list     map[string]string
	lists    int
	failures int
	last     *v1alpha1.PodNetworkAttachment
}

func (v *rackView) Replace(all []*v1alpha1.PodNetworkAttachment) {
	v.mu.Lock()
	v.list = map[string]string{}
	v.lists++
	v.mu.Unlock()
	for _, pna := range all {
		v.Set(pna)
	}
}

func (v *rackView) Set(pna *v1alpha1.PodNetworkAttachment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = pna
	v.list[pna.Name] = pna.Spec.NodeName
	if pna.DeletionTimestamp != nil {
		v.list[pna.Name] = "deleting"
	}
}

func (v *rackView) Remove(_, name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.list, name)
}

func (v *rackView) Failed(error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures++
}

// sees waits until the receiver was told of exactly these.
func (v *rackView) sees(t *testing.T, what string, want map[string]string) {
	t.Helper()
	var diff string
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		diff = cmp.Diff(want, v.list)
		return diff == "", nil
	})
	if err != nil {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func newRackView(t *testing.T, client rest.Interface) *rackView {
	v := &rackView{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); Rack(ctx, client, "rack", "r1", v) }()
	t.Cleanup(func() { cancel(); <-done })
	return v
}

func rackAttachment(name, network, rack, node string) *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PodNetworkAttachment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Finalizers: []string{v1alpha1.FinalizerRelease}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: name, UID: types.UID("uid-" + name)}, NetworkName: network, NodeName: node, Interface: "net1",
			Type: v1alpha1.NetworkTypeRackLocal, MAC: "02:00:00:00:00:01",
			Addresses: []v1alpha1.AttachmentAddress{{Address: "10.1.0.1/24"}},
			RackLocal: &v1alpha1.AttachmentRack{Rack: rack, Overlay: &v1alpha1.AttachmentOverlay{VNI: 5000, Port: 4789, NodeAddress: "172.18.0.3"}},
		},
	}
}

// TestRack is against a real API server, which has to know the fields that the watch selects by.
func TestRack(t *testing.T) {
	client := rackClient(t)
	create := func(pna *v1alpha1.PodNetworkAttachment) {
		t.Helper()
		must(t, client.Post().Namespace("default").Resource(Resource).Body(pna).Do(t.Context()).Error())
	}
	create(rackAttachment("a", "rack", "r1", "node-a"))
	create(rackAttachment("b", "rack", "r1", "node-b"))
	create(rackAttachment("other-rack", "rack", "r2", "node-b"))
	create(rackAttachment("other-network", "net", "r1", "node-b"))
	v := newRackView(t, client)
	v.sees(t, "at first", map[string]string{"a": "node-a", "b": "node-b"})
	create(rackAttachment("c", "rack", "r1", "node-c"))
	v.sees(t, "one more", map[string]string{"a": "node-a", "b": "node-b", "c": "node-c"})
	kept := v.last
	if kept.Finalizers != nil || kept.ManagedFields != nil || kept.Spec.RackLocal.Overlay.NodeAddress != "172.18.0.3" || kept.CreationTimestamp.IsZero() {
		t.Errorf("kept of it: %+v", kept)
	}
	must(t, client.Delete().Namespace("default").Resource(Resource).Name("b").Do(t.Context()).Error())
	v.sees(t, "one is to be deleted", map[string]string{"a": "node-a", "b": "deleting", "c": "node-c"})
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": nil}})
	must(t, err)
	must(t, client.Patch(types.MergePatchType).Namespace("default").Resource(Resource).Name("b").Body(patch).Do(t.Context()).Error())
	v.sees(t, "one is gone", map[string]string{"a": "node-a", "c": "node-c"})
	if v.lists != 1 || v.failures != 0 {
		t.Errorf("listed %d times, failed %d times", v.lists, v.failures)
	}
}

// Who waits for a list is told why there is none.
func TestRackWithoutAPIServer(t *testing.T) {
	client, err := NewClient(&rest.Config{Host: "http://127.0.0.1:1"}, http.DefaultClient)
	must(t, err)
	v := newRackView(t, client)
	err = wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.failures >= 2, nil
	})
	if err != nil || v.lists != 0 {
		t.Errorf("told of %d failures and %d lists", v.failures, v.lists)
	}
}

// rackClient skips the test where there are no binaries of an API server.
func rackClient(t *testing.T) rest.Interface {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const why = "needs kube-apiserver and etcd: set KUBEBUILDER_ASSETS, see `make test-api`"
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			t.Fatal(why)
		}
		t.Skip("skipped: " + why)
	}
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "..", "manifests", "crds")}, ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	must(t, err)
	t.Cleanup(func() { must(t, environment.Stop()) })
	httpClient, err := rest.HTTPClientFor(config)
	must(t, err)
	client, err := NewClient(config, httpClient)
	must(t, err)
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
