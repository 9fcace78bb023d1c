package publish_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

const namespace = "default"

// startAPIServer skips the test where there are no binaries of an API server.
func startAPIServer(t *testing.T) *rest.Config {
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
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	return config
}

// cluster is the API server with the agent's own cache and publisher at work on it.
type cluster struct {
	*testing.T
	core        kubernetes.Interface
	multinet    rest.Interface
	attachments *watch.Attachments
	publisher   *publish.Publisher
}

func newCluster(t *testing.T) *cluster {
	config := startAPIServer(t)
	httpClient, err := rest.HTTPClientFor(config)
	check(t, err)
	c := &cluster{T: t}
	c.core, err = kubernetes.NewForConfigAndClient(config, httpClient)
	check(t, err)
	c.multinet, err = watch.NewClient(config, httpClient)
	check(t, err)
	c.attachments, err = watch.New(c.multinet, "node", func(types.UID) {})
	check(t, err)
	c.publisher = publish.New(logr.Discard(), publish.Clients{
		Core: c.core.CoreV1().RESTClient(), Resources: c.core.ResourceV1().RESTClient(), Multinet: c.multinet,
	}, c.attachments, "default")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { c.attachments.Run(ctx); done <- struct{}{} }()
	go func() { c.publisher.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) eventually(what string, condition func() bool) {
	c.Helper()
	err := wait.PollUntilContextTimeout(c.Context(), 20*time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		c.Fatalf("%s: %v", what, err)
	}
}

func (c *cluster) pod() *corev1.Pod {
	pod, err := c.core.CoreV1().Pods(namespace).Create(c.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodConditionAttached}}},
	}, metav1.CreateOptions{})
	check(c.T, err)
	return pod
}

// claim is allocated as the scheduler does it for a shared device and a VF.
func (c *cluster) claim() *resourceapi.ResourceClaim {
	claims := c.core.ResourceV1().ResourceClaims(namespace)
	claim, err := claims.Create(c.Context(), &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "claim"},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
			Name: "nic", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "storage.multinet.dev"},
		}, {
			Name: "vf", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "fast.multinet.dev"},
		}}}},
	}, metav1.CreateOptions{})
	check(c.T, err)
	share := types.UID("0b8b0e3e-3a60-4e6c-9a53-d6a1dd1a6a01")
	claim.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{
			Request: "nic", Driver: v1alpha1.DriverName, Pool: "node", Device: "uplink-eth1", ShareID: &share}, {
			Request: "vf", Driver: v1alpha1.DriverName, Pool: "node", Device: "vf-1"}},
	}}
	claim, err = claims.UpdateStatus(c.Context(), claim, metav1.UpdateOptions{})
	check(c.T, err)
	return claim
}

func (c *cluster) attachment(name, node string, pod *corev1.Pod) *v1alpha1.PodNetworkAttachment {
	pna := &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.FinalizerRelease}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: pod.Name, UID: pod.UID}, NetworkName: "storage", NodeName: node, Interface: "net1",
			PodClaimName: "multinet-storage-0", Request: "nic", Type: v1alpha1.NetworkTypeMacvlan,
			Macvlan: &v1alpha1.MacvlanSpec{Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}},
			MAC:     "02:00:00:00:00:01", Addresses: []v1alpha1.AttachmentAddress{{Address: "10.20.0.5/24"}},
		},
	}
	result := &v1alpha1.PodNetworkAttachment{}
	check(c.T, c.multinet.Post().Namespace(namespace).Resource(watch.Resource).Body(pna).Do(c.Context()).Into(result))
	return result
}

func TestOnAPIServer(t *testing.T) {
	c := newCluster(t)
	pod, claim := c.pod(), c.claim()

	waited := make(chan *v1alpha1.PodNetworkAttachment, 1)
	go func() {
		pna, err := c.attachments.WaitFor(t.Context(), pod.UID, "multinet-storage-0", "nic")
		if err != nil {
			t.Error(err)
		}
		waited <- pna
	}()
	c.attachment("elsewhere", "another-node", pod)
	ordered := c.attachment("a", "node", pod)
	if pna := <-waited; pna == nil || pna.Name != "a" || pna.ManagedFields != nil {
		t.Fatalf("waited for %+v", pna)
	}
	if all := c.attachments.All(); len(all) != 1 {
		t.Errorf("the cache holds %d attachments, want that of the node alone", len(all))
	}

	ours, err := publish.DevicesOf(claim)
	check(t, err)
	report := publish.Report{
		Namespace: namespace, Name: pod.Name, UID: pod.UID, SandboxID: "box", PrimaryIPs: []netip.Addr{netip.MustParseAddr("10.244.0.7")},
		Interfaces: []publish.Interface{{
			Plan: plan.Attachment{Name: "a", Network: "storage", Interface: "net1", Claim: &ours[0], QoSClass: "gold",
				Device: plan.Device{Name: "uplink-eth1", Uplink: "eth1"}},
			InPod: true, Reason: v1alpha1.ReasonAttached, MAC: plan.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1500,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.5/24")}, At: time.Now(), Duration: time.Millisecond,
		}, {
			Plan:  plan.Attachment{Name: "b", Network: "fast", Interface: "net2", Claim: &ours[1]},
			InPod: true, Reason: v1alpha1.ReasonAttached, MAC: plan.HardwareAddr{2, 0, 0, 0, 0, 2}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.60.0.5/24")},
		}},
	}
	c.publisher.Publish(report)
	c.eventually("the attachment is ready", func() bool {
		pna, ok := c.attachments.Get(namespace, "a")
		return ok && meta.IsStatusConditionTrue(pna.Status.Conditions, v1alpha1.AttachmentConditionReady)
	})
	pna, _ := c.attachments.Get(namespace, "a")
	if s := pna.Status; s.SandboxID != "box" || s.MTU != 1500 || s.Device == nil || s.Device.Uplink != "eth1" || s.AttachedAt == nil ||
		s.AttachDuration.Duration != time.Millisecond || !meta.IsStatusConditionFalse(s.Conditions, v1alpha1.AttachmentConditionQoSEnforced) {
		t.Errorf("status %+v", s)
	}
	c.checkPod(pod)
	c.checkClaim()

	// A pod of the same name that is another one is left alone, and is not tried again and again.
	other := report
	other.UID = "11111111-2222-3333-4444-555555555555"
	other.Interfaces = nil
	other.Trouble = "must not be seen"
	c.publisher.Publish(other)

	check(t, c.multinet.Delete().Namespace(namespace).Resource(watch.Resource).Name("a").Do(t.Context()).Error())
	c.eventually("the deletion is seen", func() bool {
		pna, ok := c.attachments.Get(namespace, "a")
		return ok && pna.DeletionTimestamp != nil
	})
	c.publisher.Release(namespace, "a", ordered.UID)
	c.eventually("the attachment is gone", func() bool { _, ok := c.attachments.Get(namespace, "a"); return !ok })
	c.checkPod(pod)
}

func (c *cluster) checkPod(before *corev1.Pod) {
	c.Helper()
	pod, err := c.core.CoreV1().Pods(namespace).Get(c.Context(), before.Name, metav1.GetOptions{})
	check(c.T, err)
	if pod.Annotations[v1alpha1.AnnotationPodIPs] != `[{"networkName":"storage","interface":"net1","ip":"10.20.0.5"},{"networkName":"fast","interface":"net2","ip":"10.60.0.5"}]` ||
		pod.Annotations[v1alpha1.AnnotationNetworkStatus] == "" {
		c.Errorf("annotations %v", pod.Annotations)
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1alpha1.PodConditionAttached && condition.Status == corev1.ConditionTrue && !condition.LastTransitionTime.IsZero() {
			return
		}
	}
	c.Errorf("conditions %v", pod.Status.Conditions)
}

// checkClaim: both devices of the claim are told of.
func (c *cluster) checkClaim() {
	c.Helper()
	claim, err := c.core.ResourceV1().ResourceClaims(namespace).Get(c.Context(), "claim", metav1.GetOptions{})
	check(c.T, err)
	got := map[string]string{}
	for _, d := range claim.Status.Devices {
		if d.NetworkData != nil && len(d.NetworkData.IPs) == 1 {
			got[d.Device] = d.NetworkData.InterfaceName + " " + d.NetworkData.IPs[0]
		}
	}
	want := map[string]string{"uplink-eth1": "net1 10.20.0.5/24", "vf-1": "net2 10.60.0.5/24"}
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("devices of the claim (-want +got):\n%s", diff)
	}
}
