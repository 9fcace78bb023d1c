package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// manifests is what users apply; the tests apply the same file to a real API server.
var manifests = filepath.Join("..", "..", "manifests", "multinet.yaml")

const (
	testNamespace = "default"
	agentAccount  = "system:serviceaccount:multinet-system:multinet-agent"
)

// apiServer is a real kube-apiserver with etcd behind it and manifests/multinet.yaml applied.
type apiServer struct {
	environment *envtest.Environment
	config      *rest.Config
	// admin may do everything.
	admin client.Client
	// before are the bystanders as this server made them before it had the policies.
	before map[string]string
}

// One server serves all tests of the package, since a start takes seconds.
var shared struct {
	once   sync.Once
	server *apiServer
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}
	os.Exit(code)
}

// requireAPIServer skips the test where there are no binaries of an API server.
func requireAPIServer(t *testing.T) *apiServer {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const why = "needs kube-apiserver and etcd: set KUBEBUILDER_ASSETS, see `make test-api`"
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			t.Fatal(why)
		}
		t.Skip("skipped: " + why)
	}
	shared.once.Do(func() { shared.server, shared.err = startAPIServer() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func startAPIServer() (*apiServer, error) {
	s := &apiServer{environment: &envtest.Environment{}}
	config, err := s.environment.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the API server: %w", err)
	}
	config.QPS, config.Burst = -1, -1
	s.config = config
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.install(ctx); err != nil {
		return nil, errors.Join(err, s.environment.Stop())
	}
	return s, nil
}

// install is one pass over the file on a fresh cluster, as a single kubectl apply.
func (s *apiServer) install(ctx context.Context) (err error) {
	if s.admin, err = client.New(s.config, client.Options{Scheme: newScheme()}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if s.before, err = s.created(ctx); err != nil {
		return err
	}
	objects, err := readObjects(manifests)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := s.admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test")); err != nil {
			return fmt.Errorf("applying %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return s.waitUntilInForce(ctx)
}

// waitUntilInForce polls: CRDs and policies reach the request path through caches of the API server.
func (s *apiServer) waitUntilInForce(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		for _, list := range []client.ObjectList{&v1alpha1.NetworkList{}, &v1alpha1.QoSClassList{}, &v1alpha1.PodNetworkAttachmentList{}, &v1alpha1.AddressClaimList{}} {
			if s.admin.List(ctx, list) != nil {
				return false, nil
			}
		}
		malformed, good := newPod("Not-a-name"), newPod("storage")
		if s.admin.Create(ctx, malformed, client.DryRunAll) == nil {
			return false, nil
		}
		if err := s.admin.Create(ctx, good, client.DryRunAll); err != nil || len(good.Spec.ResourceClaims) == 0 {
			return false, nil
		}
		return s.agentScopeInForce(ctx), nil
	})
}

// as returns a client that acts as the agent whose token is bound to a pod on the node; "" for a token without a node.
func (s *apiServer) asAgent(node string) (client.Client, error) {
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: agentAccount,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:multinet-system", "system:authenticated"}}
	if node != "" {
		config.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	return client.New(config, client.Options{Scheme: newScheme()})
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}

// readObjects reads the documents of a YAML file.
func readObjects(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the manifests: %w", err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(text)), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", path, len(objects)+1, err)
		}
		if o.Object != nil {
			objects = append(objects, o)
		}
	}
}
