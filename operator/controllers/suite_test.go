package controllers

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// assetsVariable names the folder with kube-apiserver and etcd.
const assetsVariable = "KUBEBUILDER_ASSETS"

// patience is how long a test waits for something that is to happen. It is long since CI machines are slow.
const patience = 30 * time.Second

// environment is the API server of all tests of the package. It is started by the first test that needs it, not
// before m.Run, so that the test cache notices the variable and the CRDs.
var environment *envtest.Environment

var apiServer = sync.OnceValues(func() (*rest.Config, error) {
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "manifests", "crds")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the API server: %w", err)
	}
	config.QPS = -1
	return config, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	if testing.Verbose() {
		ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr))))
	}
	code := m.Run()
	if environment != nil {
		_ = environment.Stop()
	}
	os.Exit(code)
}

// world is one test's view of the API server. Tests run one after the other and leave nothing behind.
type world struct {
	t      *testing.T
	ctx    context.Context
	config *rest.Config
	client.Client
	namespace string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(assetsVariable) == "" {
		skip := t.Skip
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			skip = t.Fatal
		}
		skip("skipped: needs kube-apiserver and etcd: " + assetsVariable + " is not set")
	}
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	config, err := apiServer()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: t.Context(), config: config, Client: c}
	w.namespace = w.makeNamespace(nil)
	t.Cleanup(w.cleanUp)
	for _, name := range []string{"node1", "node2"} {
		w.must(w.Create(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	return w
}

func (w *world) makeNamespace(labels map[string]string) string {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	w.must(w.Create(w.ctx, ns))
	return ns.Name
}

// startManager runs the operator, without leader election, until stop is called or the test ends.
func (w *world) startManager() (stop func()) {
	w.t.Helper()
	return w.startManagerWith(nil, func(*ctrl.Options) {})
}

func (w *world) startManagerWith(fence *Fence, change func(*ctrl.Options)) (stop func()) {
	w.t.Helper()
	scheme, err := NewScheme()
	w.must(err)
	// Several managers of one process have controllers of the same name.
	skipNames := true
	options := ctrl.Options{
		Scheme: scheme, Cache: CacheOptions(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skipNames},
	}
	change(&options)
	mgr, err := ctrl.NewManager(rest.CopyConfig(w.config), options)
	w.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	w.must(Setup(ctx, mgr, fence))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// cleanUp plays garbage collector and namespace controller.
func (w *world) cleanUp() {
	ctx := context.Background()
	var pods corev1.PodList
	var attachments v1alpha1.PodNetworkAttachmentList
	var networks v1alpha1.NetworkList
	var nodes corev1.NodeList
	var claims v1alpha1.AddressClaimList
	var classes v1alpha1.QoSClassList
	for _, list := range []client.ObjectList{&pods, &attachments, &networks, &nodes, &claims, &classes} {
		w.must(w.List(ctx, list))
	}
	now := client.GracePeriodSeconds(0)
	for i := range pods.Items {
		w.must(client.IgnoreNotFound(w.Delete(ctx, &pods.Items[i], now)))
	}
	for i := range attachments.Items {
		w.removeFinalizers(ctx, &attachments.Items[i])
		w.must(client.IgnoreNotFound(w.Delete(ctx, &attachments.Items[i])))
	}
	for i := range networks.Items {
		w.removeFinalizers(ctx, &networks.Items[i])
		w.must(client.IgnoreNotFound(w.Delete(ctx, &networks.Items[i])))
	}
	for i := range claims.Items {
		w.must(client.IgnoreNotFound(w.Delete(ctx, &claims.Items[i])))
	}
	for i := range nodes.Items {
		w.must(client.IgnoreNotFound(w.Delete(ctx, &nodes.Items[i])))
	}
	for i := range classes.Items {
		w.removeFinalizers(ctx, &classes.Items[i])
		w.must(client.IgnoreNotFound(w.Delete(ctx, &classes.Items[i])))
	}
}

func (w *world) removeFinalizers(ctx context.Context, obj client.Object) {
	w.t.Helper()
	if len(obj.GetFinalizers()) == 0 {
		return
	}
	before := obj.DeepCopyObject().(client.Object)
	obj.SetFinalizers(nil)
	w.must(client.IgnoreNotFound(w.Patch(ctx, obj, client.MergeFrom(before))))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually waits until check returns nil and fails with its last error.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(w.ctx, 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", what, last)
	}
}
