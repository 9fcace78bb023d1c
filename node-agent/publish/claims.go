package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get

// Claims reads the claim behind a pod's attachment, for pods whose plan is not in the ledger.
type Claims struct{ Client kubernetes.Interface }

// ForPod returns the device that a request was allocated, of the claim behind an entry of a pod's spec.resourceClaims.
func (c Claims) ForPod(ctx context.Context, namespace, name string, podUID types.UID, podClaimName, request string) (*plan.Claim, error) {
	pod, err := c.Pod(ctx, namespace, name, podUID)
	if err != nil {
		return nil, err
	}
	for i := range pod.Spec.ResourceClaims {
		if entry := &pod.Spec.ResourceClaims[i]; entry.Name == podClaimName {
			return c.behind(ctx, pod, entry, request)
		}
	}
	return nil, fmt.Errorf("pod %s/%s: spec.resourceClaims has no entry %s", namespace, name, podClaimName)
}

// Edited tells whether the pod's selection was changed while it ran.
func (c Claims) Edited(ctx context.Context, namespace, name string, podUID types.UID) (bool, error) {
	pod, err := c.Pod(ctx, namespace, name, podUID)
	if err != nil {
		return false, err
	}
	_, noted := pod.Annotations[v1alpha1.AnnotationAtCreation]
	return noted, nil
}

// Pod returns the pod of the UID, and no successor of its name.
func (c Claims) Pod(ctx context.Context, namespace, name string, podUID types.UID) (*corev1.Pod, error) {
	pod, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	if pod.UID != podUID {
		return nil, fmt.Errorf("pod %s/%s: another pod has taken its name", namespace, name)
	}
	return pod, nil
}

func (c Claims) behind(ctx context.Context, pod *corev1.Pod, entry *corev1.PodResourceClaim, request string) (*plan.Claim, error) {
	name, ofTemplate, err := resourceclaim.Name(pod, entry)
	if err == nil && name == nil {
		err = errors.New("none was made")
	}
	if err != nil {
		return nil, fmt.Errorf("pod %s/%s: ResourceClaim of entry %s: %w", pod.Namespace, pod.Name, entry.Name, err)
	}
	claim, err := c.Client.ResourceV1().ResourceClaims(pod.Namespace).Get(ctx, *name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("claim %s/%s: %w", pod.Namespace, *name, err)
	}
	if ofTemplate {
		if err := resourceclaim.IsForPod(pod, claim, false); err != nil {
			return nil, err
		}
	}
	devices, err := DevicesOf(claim)
	for i := range devices {
		if devices[i].BaseRequest() == request {
			return &devices[i], err
		}
	}
	return nil, errors.Join(err, fmt.Errorf("claim %s/%s has no device of driver %s for request %q", pod.Namespace, *name, v1alpha1.DriverName, request))
}

// DevicesOf returns the devices of ours that a claim has for interfaces, at most one for each request.
func DevicesOf(claim *resourceapi.ResourceClaim) ([]plan.Claim, error) {
	var ours []plan.Claim
	if claim.Status.Allocation == nil {
		return nil, nil
	}
	for _, result := range claim.Status.Allocation.Devices.Results {
		if result.Driver != v1alpha1.DriverName || onlyBandwidth(claim, result.Request) {
			continue
		}
		found := plan.Claim{Name: claim.Name, UID: claim.UID, Request: result.Request, Pool: result.Pool, Device: result.Device}
		if result.ShareID != nil {
			found.ShareID = string(*result.ShareID)
		}
		if slices.ContainsFunc(ours, func(c plan.Claim) bool { return c.BaseRequest() == found.BaseRequest() }) {
			return nil, fmt.Errorf("claim %s/%s has several devices of driver %s for request %q: an interface is one device, so write one request for each",
				claim.Namespace, claim.Name, v1alpha1.DriverName, found.BaseRequest())
		}
		ours = append(ours, found)
	}
	return ours, nil
}

// onlyBandwidth tells whether a request of a claim sets bandwidth aside on the NIC behind the device of another request. No
// interface comes of it.
func onlyBandwidth(claim *resourceapi.ResourceClaim, request string) bool {
	return slices.ContainsFunc(claim.Spec.Devices.Requests, func(r resourceapi.DeviceRequest) bool {
		return r.Name == request && r.Exactly != nil && r.Exactly.DeviceClassName == v1alpha1.BandwidthClassName
	})
}
