package v1alpha1_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestAgentRightsOnClaims: the agent may write the devices of a claim that is allocated on its node, and nothing else of it.
func TestAgentRightsOnClaims(t *testing.T) {
	s := requireAPIServer(t)
	device := object{"driver": v1alpha1.DriverName, "pool": "n1", "device": "eth1",
		"networkData": object{"interfaceName": "net1", "ips": list{"10.20.0.5/24"}, "hardwareAddress": "02:00:00:00:00:01"}}
	foreign := object{"driver": "gpu.example.com", "pool": "n1", "device": "gpu0"}

	for name, c := range map[string]struct {
		token   string
		devices list
		want    string
	}{
		"its own":                {"n1", list{device}, ""},
		"of another node":        {"n2", list{device}, `requires resource="resourceclaims/driver"`},
		"device of other driver": {"n1", list{foreign}, `requires resource="resourceclaims/driver"`},
	} {
		t.Run(name, func(t *testing.T) {
			// One that was not written yet: a write that changes nothing is allowed to anyone.
			claim := s.allocatedClaim(t, "n1")
			agent, err := s.asAgent(c.token)
			if err != nil {
				t.Fatal(err)
			}
			body := &unstructured.Unstructured{Object: object{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
				"metadata": object{"name": claim.Name, "namespace": claim.Namespace}, "status": object{"devices": c.devices}}}
			err = agent.Status().Apply(t.Context(), client.ApplyConfigurationFromUnstructured(body), client.FieldOwner("multinet-agent"))
			checkAnswer(t, err, c.want)
		})
	}
}

// allocatedClaim is a claim as the scheduler leaves it.
func (s *apiServer) allocatedClaim(t *testing.T, node string) *resourcev1.ResourceClaim {
	t.Helper()
	exactly := &resourcev1.ExactDeviceRequest{DeviceClassName: "any", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1}
	claim := &resourcev1.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "rights-", Namespace: testNamespace},
		Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
			{Name: "nic", Exactly: exactly}, {Name: "gpu", Exactly: exactly}}}},
	}
	if err := s.admin.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.admin.Delete(context.WithoutCancel(t.Context()), claim); err != nil {
			t.Error(fmt.Errorf("deleting the claim: %w", err))
		}
	})
	claim.Status = resourcev1.ResourceClaimStatus{
		Allocation: &resourcev1.AllocationResult{
			Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
				{Request: "nic", Driver: v1alpha1.DriverName, Pool: node, Device: "eth1"},
				{Request: "gpu", Driver: "gpu.example.com", Pool: node, Device: "gpu0"}}},
			NodeSelector: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}},
		},
		ReservedFor: []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "1"}},
	}
	if err := s.admin.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}
