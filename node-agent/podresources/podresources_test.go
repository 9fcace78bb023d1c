package podresources

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// kubelet answers as that of a node: for a pod by its name, whichever has it.
type kubelet struct {
	podresourcesv1.UnimplementedPodResourcesListerServer
	pods map[string]*podresourcesv1.PodResources
	// busy is how many questions are refused before one is answered.
	busy atomic.Int32
}

func (k *kubelet) Get(_ context.Context, r *podresourcesv1.GetPodResourcesRequest) (*podresourcesv1.GetPodResourcesResponse, error) {
	if k.busy.Add(-1) >= 0 {
		return nil, status.Error(codes.ResourceExhausted, "rejected by rate limit")
	}
	pod, found := k.pods[r.PodNamespace+"/"+r.PodName]
	if !found {
		return nil, fmt.Errorf("pod %s in namespace %s not found", r.PodName, r.PodNamespace)
	}
	return &podresourcesv1.GetPodResourcesResponse{PodResources: pod}, nil
}

// serve returns the socket, once it is there.
func (k *kubelet) serve(t *testing.T, socket string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	podresourcesv1.RegisterPodResourcesListerServer(server, k)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
}

func container(devices ...*podresourcesv1.ContainerDevices) *podresourcesv1.ContainerResources {
	return &podresourcesv1.ContainerResources{Devices: devices}
}

func devices(resource string, ids ...string) *podresourcesv1.ContainerDevices {
	return &podresourcesv1.ContainerDevices{ResourceName: resource, DeviceIds: ids}
}

const nic = "intel.com/nic"

var web = plan.Pod{Namespace: "demo", Name: "web", UID: "uid"}

func sameUID(_ context.Context, _, _ string, uid types.UID) (*corev1.Pod, error) {
	if uid != "uid" {
		return nil, errors.New("pod demo/web: another pod has taken its name")
	}
	return &corev1.Pod{}, nil
}

func TestDevicesOfAPod(t *testing.T) {
	for name, c := range map[string]struct {
		containers []*podresourcesv1.ContainerResources
		want       []string
	}{
		"none":                 {containers: []*podresourcesv1.ContainerResources{container()}},
		"of another resource":  {containers: []*podresourcesv1.ContainerResources{container(devices("intel.com/nic2", "a"))}},
		"in whichever order":   {containers: []*podresourcesv1.ContainerResources{container(devices(nic, "c"), devices("x/y", "z"), devices(nic, "a"), devices(nic, "b"))}, want: []string{"a", "b", "c"}},
		"in one entry":         {containers: []*podresourcesv1.ContainerResources{container(devices(nic, "b", "a"))}, want: []string{"a", "b"}},
		"containers in order":  {containers: []*podresourcesv1.ContainerResources{container(devices(nic, "b")), container(), container(devices(nic, "a"))}, want: []string{"b", "a"}},
		"once per NUMA node":   {containers: []*podresourcesv1.ContainerResources{container(devices(nic, "a"), devices(nic, "a"))}, want: []string{"a"}},
		"the answer of no pod": {},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, idsOf(&podresourcesv1.PodResources{Containers: c.containers}, nic)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestKubelet asks over a socket.
func TestKubelet(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kubelet.sock")
	server := &kubelet{pods: map[string]*podresourcesv1.PodResources{
		"demo/web":   {Namespace: "demo", Name: "web", Containers: []*podresourcesv1.ContainerResources{container(devices(nic, "0000:3b:00.2", "0000:3b:00.1"))}},
		"demo/mixed": {Namespace: "demo", Name: "up"},
	}}
	k := &Kubelet{Socket: socket, Pod: sameUID}
	late := make(chan error, 1)
	go func() { _, err := k.IDs(t.Context(), web, nic); late <- err }() // of a kubelet that is about to start
	server.busy.Store(2)
	server.serve(t, socket)
	if err := <-late; err != nil {
		t.Errorf("a kubelet that starts and is busy: %v", err)
	}
	ids, err := k.IDs(t.Context(), web, nic)
	if diff := cmp.Diff([]string{"0000:3b:00.1", "0000:3b:00.2"}, ids); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for want, pod := range map[string]plan.Pod{
		"pod gone in namespace demo not found":     {Namespace: "demo", Name: "gone", UID: "uid"},
		"another pod has taken its name":           {Namespace: "demo", Name: "web", UID: "of the former pod"},
		"the kubelet has answered for another pod": {Namespace: "demo", Name: "mixed", UID: "uid"},
	} {
		if ids, err := k.IDs(t.Context(), pod, nic); err == nil || !strings.Contains(err.Error(), want) || ids != nil {
			t.Errorf("%v, %v, want %s", ids, err, want)
		}
	}
}

// An agent without the mount says at once what is missing.
func TestNoAccess(t *testing.T) {
	k := &Kubelet{Socket: filepath.Join(t.TempDir(), "pod-resources", "kubelet.sock"), Pod: sameUID}
	if _, err := k.IDs(t.Context(), web, nic); err == nil || !strings.Contains(err.Error(), "manifests/agent/cni-plugins.yaml") {
		t.Error(err)
	}
	k = &Kubelet{Socket: filepath.Join(t.TempDir(), "kubelet.sock"), Pod: sameUID}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.IDs(ctx, web, nic); status.Code(errors.Unwrap(err)) != codes.Canceled {
		t.Error(err)
	}
}
