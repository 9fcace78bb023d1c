package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// oneOf asks for a device of one Network, or if it gets none, of the next.
func oneOf(networks ...string) resourcev1.ResourceClaimSpec {
	request := resourcev1.DeviceRequest{Name: "nic"}
	for _, n := range networks {
		request.FirstAvailable = append(request.FirstAvailable, resourcev1.DeviceSubRequest{Name: n, DeviceClassName: v1alpha1.DeviceClassName(n)})
	}
	if len(networks) == 1 {
		request = resourcev1.DeviceRequest{Name: "nic", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: v1alpha1.DeviceClassName(networks[0])}}
	}
	return resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{request}}}
}

var ofTemplate = corev1.PodResourceClaim{Name: "mine", ResourceClaimTemplateName: ptr.To("mine")}

func (w *world) template(spec resourcev1.ResourceClaimSpec) {
	w.t.Helper()
	w.must(w.Create(w.ctx, &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "mine"},
		Spec: resourcev1.ResourceClaimTemplateSpec{Spec: spec}}))
}

// made plays kube-controller-manager: the claim of the template of the pod's first entry.
func (w *world) made(pod *corev1.Pod, spec resourcev1.ResourceClaimSpec) *resourcev1.ResourceClaim {
	w.t.Helper()
	claim := w.deviceClaim(pod.Name+"-mine", spec, metav1.OwnerReference{
		APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: ptr.To(true)})
	before := pod.DeepCopy()
	pod.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: pod.Spec.ResourceClaims[0].Name, ResourceClaimName: &claim.Name}}
	w.must(w.Status().Patch(w.ctx, pod, client.MergeFrom(before)))
	return claim
}

func (w *world) deviceClaim(name string, spec resourcev1.ResourceClaimSpec, owners ...metav1.OwnerReference) *resourcev1.ResourceClaim {
	w.t.Helper()
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, OwnerReferences: owners}, Spec: spec}
	w.must(w.Create(w.ctx, claim))
	return claim
}

// allocate plays the scheduler up to the moment before it binds.
func (w *world) allocate(claim *resourcev1.ResourceClaim, request, node string, pods ...*corev1.Pod) {
	w.t.Helper()
	claim.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
		{Request: request, Driver: v1alpha1.DriverName, Pool: node, Device: "uplink-eth1"}}}}
	claim.Status.ReservedFor = nil
	for _, pod := range pods {
		claim.Status.ReservedFor = append(claim.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: pod.Name, UID: pod.UID})
	}
	w.must(w.Status().Update(w.ctx, claim))
}

func TestOwnClaimIsWhatWasAllocated(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("fast")
	w.network("slow", ranges("10.99.0.0/24"))
	w.template(oneOf("fast", "slow"))
	pod := w.pod("a", "claim=mine/nic@data, slow", "", ofTemplate)
	w.eventually("the template of the network that is named", func() error {
		return w.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "slow.multinet.dev"}, &resourcev1.ResourceClaimTemplate{})
	})
	if err := w.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "fast.multinet.dev"}, &resourcev1.ResourceClaimTemplate{}); err == nil {
		t.Error("a template was made for the user's claim")
	}
	claim := w.made(pod, oneOf("fast", "slow"))
	w.allocate(claim, "nic/slow", "node1", pod)
	w.bind(pod, "node1")
	found := w.attached(pod, 2)
	if spec := found["data"].Spec; spec.NetworkName != "slow" || spec.PodClaimName != "mine" || spec.Request != "nic" || !strings.HasPrefix(spec.Addresses[0].Address, "10.99.0.") {
		t.Errorf("by the user's claim: %+v", spec)
	}
	if spec := found["net2"].Spec; spec.NetworkName != "slow" || spec.PodClaimName != "multinet-slow-0" || spec.Request != "nic" {
		t.Errorf("by name: %+v", spec)
	}
}

// TestOwnClaimOfClosedNetwork: a claim is no way around namespaceSelector, before the pod has a node and after.
func TestOwnClaimOfClosedNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("closed", func(n *v1alpha1.Network) {
		n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "storage"}}
	})
	w.template(oneOf("closed"))
	pod := w.pod("a", "claim=mine/nic", "", ofTemplate)
	w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonNotAdmitted)
	w.allocate(w.made(pod, oneOf("closed")), "nic", "node1", pod)
	w.bind(pod, "node1")
	other := w.pod("b", "claim=mine/nic", "", ofTemplate)
	w.planned(other, corev1.ConditionFalse, v1alpha1.ReasonNotAdmitted)
	if found := w.attachments(pod); len(found) > 0 {
		t.Fatalf("attached: %v", found)
	}
	w.labelNamespace("team", "storage")
	w.attached(pod, 1)
	w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.planned(other, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
}

func TestOwnClaimRefused(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = []string{"gold"} })
	guaranteed := resource.MustParse("1G")
	w.must(w.Create(w.ctx, &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"},
		Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &guaranteed}}}))
	waits := w.pod("waits", "claim=mine/nic", "", ofTemplate)
	w.planned(waits, corev1.ConditionFalse, v1alpha1.ReasonResourceClaimNotReady)
	unknown := w.pod("unknown", "claim=later/nic", "", corev1.PodResourceClaim{Name: "later", ResourceClaimName: ptr.To("later")})
	w.planned(unknown, corev1.ConditionFalse, v1alpha1.ReasonResourceClaimNotReady)
	w.template(oneOf("storage"))
	w.planned(waits, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.deviceClaim("later", oneOf("absent"))
	w.planned(unknown, corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork)
	w.network("absent")
	w.planned(unknown, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	w.planned(w.pod("request", "claim=mine/vf", "", ofTemplate), corev1.ConditionFalse, v1alpha1.ReasonInvalidResourceClaim)
	w.planned(w.pod("class", "claim=mine/nic:gold", "", ofTemplate), corev1.ConditionFalse, v1alpha1.ReasonInvalidResourceClaim)
}

// TestOwnClaimServesOnePod: the second pod of a claim waits for the first one's end.
func TestOwnClaimServesOnePod(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	claim := w.deviceClaim("shared", oneOf("storage"))
	entry := corev1.PodResourceClaim{Name: "mine", ResourceClaimName: ptr.To("shared")}
	first, second := w.pod("a", "claim=mine/nic", "", entry), w.pod("b", "claim=mine/nic", "", entry)
	w.allocate(claim, "nic", "node1", first)
	w.bind(first, "node1")
	w.attached(first, 1)
	w.allocate(claim, "nic", "node1", first, second)
	w.bind(second, "node1")
	if c := w.planned(second, corev1.ConditionFalse, v1alpha1.ReasonResourceClaimNotReady); !strings.Contains(c.Message, "reserved for 2 pods") {
		t.Errorf("message: %s", c.Message)
	}
	w.kill(first)
	w.allocate(claim, "nic", "node1", second)
	w.attached(second, 1)
}
