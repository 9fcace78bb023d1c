// Package podresources asks the kubelet which devices of device plugins it has given to a pod's containers.
//
// What is known of the answers was read in k8s.io/kubernetes v1.37.2 (pkg/kubelet/apis/podresources, cm/devicemanager, kubelet.go): devices
// are allocated when the pod is admitted, which is before its worker begins, so before NodePrepareResources and RunPodSandbox. They
// stay the pod's until it ends, over restarts of the kubelet as well, which keeps them in a file. Init containers are told of only
// where they run on beside the others. The devices of a container are read from a map, in an order that changes with each answer.
package podresources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// callLimit ends a question, with the time that a kubelet takes which starts.
const callLimit = 10 * time.Second

// retries: the kubelet answers 100 questions in a second, whoever asks, and refuses what is more.
const retries = `{"methodConfig": [{"name": [{}], "waitForReady": true, "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 3,
	"retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]}`

// Kubelet is that of the node. Its methods may be called concurrently.
type Kubelet struct {
	// Socket of the kubelet. Where its folder is not there, the agent has not been given it.
	Socket string
	// Pod returns the pod of a UID as the API server has it, and an error where another has its name.
	Pod func(ctx context.Context, namespace, name string, uid types.UID) (*corev1.Pod, error)

	connect sync.Once
	client  podresourcesv1.PodResourcesListerClient
	err     error
}

// IDs are those of the pod's devices of a resource: in the order of its containers, those of one container in the order of their names.
func (k *Kubelet) IDs(ctx context.Context, pod plan.Pod, resource string) ([]string, error) {
	if _, err := os.Stat(filepath.Dir(k.Socket)); err != nil {
		return nil, fmt.Errorf("the agent has no access to the kubelet's pod-resources, which manifests/agent/cni-plugins.yaml gives: %w", err)
	}
	k.connect.Do(func() {
		var conn *grpc.ClientConn
		conn, k.err = grpc.NewClient("unix://"+k.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(retries))
		k.client = podresourcesv1.NewPodResourcesListerClient(conn)
	})
	if k.err != nil {
		return nil, fmt.Errorf("client of %s: %w", k.Socket, k.err)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	answer, err := k.client.Get(ctx, &podresourcesv1.GetPodResourcesRequest{PodNamespace: pod.Namespace, PodName: pod.Name})
	if err != nil {
		return nil, fmt.Errorf("over %s: %w", k.Socket, err)
	}
	of := answer.GetPodResources()
	if of.GetNamespace() != pod.Namespace || of.GetName() != pod.Name {
		return nil, errors.New("the kubelet has answered for another pod")
	}
	// The answer has no UID. What the kubelet knows of pods is from the API server: if that has the pod still, the kubelet can have known
	// no successor of its name.
	if _, err := k.Pod(ctx, pod.Namespace, pod.Name, pod.UID); err != nil {
		return nil, fmt.Errorf("whether the kubelet's answer is for the pod: %w", err)
	}
	return idsOf(of, resource), nil
}

func idsOf(pod *podresourcesv1.PodResources, resource string) (ids []string) {
	for _, container := range pod.GetContainers() {
		var own []string
		for _, devices := range container.GetDevices() {
			if devices.GetResourceName() == resource {
				own = append(own, devices.GetDeviceIds()...)
			}
		}
		// One device may be told once for each of its NUMA nodes.
		slices.Sort(own)
		ids = append(ids, slices.Compact(own)...)
	}
	return ids
}
