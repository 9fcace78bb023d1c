package publish

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get

// Claims reads the claim behind a pod's attachment, for pods whose plan is not in the ledger.
type Claims struct{ Client kubernetes.Interface }

// ForPod returns the allocation behind an entry of a pod's spec.resourceClaims.
func (c Claims) ForPod(ctx context.Context, namespace, name string, podUID types.UID, podClaimName string) (*plan.Claim, error) {
	pod, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	if pod.UID != podUID {
		return nil, fmt.Errorf("pod %s/%s: another pod has taken its name", namespace, name)
	}
	claimName := claimNameOf(pod, podClaimName)
	if claimName == "" {
		return nil, fmt.Errorf("pod %s/%s: no ResourceClaim was made for %s", namespace, name, podClaimName)
	}
	claim, err := c.Client.ResourceV1().ResourceClaims(namespace).Get(ctx, claimName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("claim %s/%s: %w", namespace, claimName, err)
	}
	return ClaimOf(claim)
}

func claimNameOf(pod *corev1.Pod, podClaimName string) string {
	for _, s := range pod.Status.ResourceClaimStatuses {
		if s.Name == podClaimName && s.ResourceClaimName != nil {
			return *s.ResourceClaimName
		}
	}
	return ""
}

// ClaimOf returns the one device of ours that a claim has for an interface.
func ClaimOf(claim *resourceapi.ResourceClaim) (*plan.Claim, error) {
	var ours []plan.Claim
	if claim.Status.Allocation != nil {
		for _, result := range claim.Status.Allocation.Devices.Results {
			if result.Driver != v1alpha1.DriverName || onlyBandwidth(claim, result.Request) {
				continue
			}
			found := plan.Claim{Name: claim.Name, UID: claim.UID, Request: result.Request, Pool: result.Pool, Device: result.Device}
			if result.ShareID != nil {
				found.ShareID = string(*result.ShareID)
			}
			ours = append(ours, found)
		}
	}
	if len(ours) != 1 {
		return nil, fmt.Errorf("claim %s/%s has %d devices of driver %s, not one", claim.Namespace, claim.Name, len(ours), v1alpha1.DriverName)
	}
	return &ours[0], nil
}

// onlyBandwidth tells whether a request of a claim sets bandwidth aside on the NIC behind the device of another request. No
// interface comes of it.
func onlyBandwidth(claim *resourceapi.ResourceClaim, request string) bool {
	return slices.ContainsFunc(claim.Spec.Devices.Requests, func(r resourceapi.DeviceRequest) bool {
		return r.Name == request && r.Exactly != nil && r.Exactly.DeviceClassName == v1alpha1.BandwidthClassName
	})
}
