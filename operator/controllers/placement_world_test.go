package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// startScheduler runs Kubernetes' own scheduler on the API server until the test ends.
func (w *world) startScheduler() {
	w.t.Helper()
	program := filepath.Join(os.Getenv(assetsVariable), "kube-scheduler")
	user, err := environment.AddUser(envtest.User{Name: "scheduler", Groups: []string{"system:masters"}}, nil)
	w.must(err)
	kubeconfig, err := user.KubeConfig()
	w.must(err)
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	w.must(os.WriteFile(file, kubeconfig, 0o600))
	scheduler := exec.Command(program, "--kubeconfig="+file, "--leader-elect=false", "--secure-port=0")
	var log bytes.Buffer
	scheduler.Stderr = &log
	w.must(scheduler.Start())
	w.t.Cleanup(func() {
		w.must(scheduler.Process.Kill())
		var killed *exec.ExitError
		if err := scheduler.Wait(); !errors.As(err, &killed) || killed.Exited() {
			w.t.Errorf("the scheduler ended by itself (%v):\n%s", err, log.Bytes())
		} else if w.t.Failed() {
			w.t.Logf("the scheduler's log ends with:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	for _, node := range []string{"node1", "node2"} {
		w.roomy(node)
	}
}

// roomy has a node take pods.
func (w *world) roomy(name string) {
	w.t.Helper()
	var node corev1.Node
	w.must(w.Get(w.ctx, types.NamespacedName{Name: name}, &node))
	before := node.DeepCopy()
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("20"), corev1.ResourceCPU: resource.MustParse("4")}
	node.Status.Capacity = node.Status.Allocatable
	w.must(w.Status().Patch(w.ctx, &node, client.MergeFrom(before)))
}

// device of a driver. An attribute "" is left out.
func device(name string, shared bool, attributes map[resourcev1.QualifiedName]string) resourcev1.Device {
	d := resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{}}
	if shared {
		d.AllowMultipleAllocations = ptr.To(true)
	}
	for key, value := range attributes {
		d.Attributes[key] = resourcev1.DeviceAttribute{StringValue: ptr.To(value)}
	}
	return d
}

func vf(name, pf, root string) resourcev1.Device {
	return device(name, false, map[resourcev1.QualifiedName]string{
		v1alpha1.DeviceAttributeKind: string(v1alpha1.DeviceKindVF), v1alpha1.DeviceAttributePF: pf, "resource.kubernetes.io/pcieRoot": root})
}

func gpu(name, root string) resourcev1.Device {
	return device(name, false, map[resourcev1.QualifiedName]string{"resource.kubernetes.io/pcieRoot": root})
}

func (w *world) driverSlice(driver, node string, devices ...resourcev1.Device) {
	w.t.Helper()
	s := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-" + driver}, Spec: resourcev1.ResourceSliceSpec{
		Driver: driver, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1}, Devices: devices}}
	w.must(w.Create(w.ctx, s))
	w.t.Cleanup(func() { w.must(w.Delete(context.Background(), s)) })
}

// example creates what a file of demo/claims has, and returns its pods, which are not created: a StatefulSet's as its controller
// would make the first three.
func (w *world) example(file string) (pods []*corev1.Pod) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "demo", "claims", file))
	w.must(err)
	decoder := serializer.NewCodecFactory(w.Scheme()).UniversalDeserializer()
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		decoded, _, err := decoder.Decode([]byte(document), nil, nil)
		w.must(err)
		switch object := decoded.(type) {
		case *v1alpha1.Network:
			w.must(w.Create(w.ctx, object))
		case *corev1.Pod:
			pods = append(pods, object)
		case *appsv1.StatefulSet:
			for i := range 3 {
				pods = append(pods, &corev1.Pod{
					ObjectMeta: *object.Spec.Template.ObjectMeta.DeepCopy(), Spec: *object.Spec.Template.Spec.DeepCopy()})
				pods[i].Name = fmt.Sprintf("%s-%d", object.Name, i)
			}
		case client.Object:
			object.SetNamespace(w.namespace)
			w.must(w.Create(w.ctx, object))
		}
	}
	return pods
}

// start creates a pod, and the claims of its templates, as kube-controller-manager would.
func (w *world) start(like *corev1.Pod, name string) *corev1.Pod {
	w.t.Helper()
	pod := like.DeepCopy()
	pod.Namespace, pod.Name = w.namespace, name
	w.must(w.Create(w.ctx, pod))
	before := pod.DeepCopy()
	for _, entry := range pod.Spec.ResourceClaims {
		if entry.ResourceClaimTemplateName == nil {
			continue
		}
		var template resourcev1.ResourceClaimTemplate
		w.must(w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: *entry.ResourceClaimTemplateName}, &template))
		claim := w.deviceClaim(name+"-"+entry.Name, template.Spec.Spec, metav1.OwnerReference{
			APIVersion: "v1", Kind: "Pod", Name: name, UID: pod.UID, Controller: ptr.To(true)})
		pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses, corev1.PodResourceClaimStatus{Name: entry.Name, ResourceClaimName: &claim.Name})
	}
	w.must(w.Status().Patch(w.ctx, pod, client.MergeFrom(before)))
	return pod
}

// unschedulable waits until the scheduler has looked for a node in vain.
func (w *world) unschedulable(pod *corev1.Pod) {
	w.t.Helper()
	w.eventually("pod "+pod.Name+" to be Unschedulable", func() error {
		var p corev1.Pod
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(pod), &p); err != nil {
			return err
		}
		if p.Spec.NodeName != "" {
			w.t.Fatalf("pod %s was placed on %s", p.Name, p.Spec.NodeName)
		}
		if !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable
		}) {
			return fmt.Errorf("its conditions are %v", p.Status.Conditions)
		}
		return nil
	})
}

// devicesOf are those of the claim of the name, by request.
func (w *world) devicesOf(claim string) map[string]string {
	w.t.Helper()
	var found resourcev1.ResourceClaim
	w.must(w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: claim}, &found))
	devices := map[string]string{}
	for _, result := range found.Status.Allocation.Devices.Results {
		devices[result.Request] = result.Device
	}
	return devices
}
