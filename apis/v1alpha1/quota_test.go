package v1alpha1_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// TestQuotaOfANetwork: the name in the README is the one that Kubernetes counts by. A quota without a status counts nothing
// yet; here nobody but the test writes it.
func TestQuotaOfANetwork(t *testing.T) {
	s := requireAPIServer(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "quota-"}}
	if err := s.admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), namespace) })
	const name = "backup.multinet.dev.deviceclass.resource.k8s.io/devices"
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "networks"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse("2")}}}
	if err := s.admin.Create(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{name: resource.MustParse("0")}}
	if err := s.admin.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	claim := func(network string) error {
		return s.admin.Create(t.Context(), &resourcev1.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, GenerateName: "c-"},
			Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
				{Name: "nic", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: v1alpha1.DeviceClassName(network)}}}}}})
	}
	// The API server counts from when its cache has the quota.
	var refused error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		refused = claim("backup")
		return refused != nil, nil
	})
	if err != nil {
		t.Fatalf("no claim was refused: %v", err)
	}
	checkAnswer(t, refused, "exceeded quota: networks, requested: "+name+"=1, used: "+name+"=2, limited: "+name+"=2")
	checkAnswer(t, claim("storage"), "")
	// What may become a device of the Network counts as one.
	checkAnswer(t, s.admin.Create(t.Context(), &resourcev1.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, GenerateName: "c-"},
		Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "nic", FirstAvailable: []resourcev1.DeviceSubRequest{
			{Name: "storage", DeviceClassName: v1alpha1.DeviceClassName("storage")}, {Name: "backup", DeviceClassName: v1alpha1.DeviceClassName("backup")}}}}}}}),
		"exceeded quota: networks, requested: "+name+"=1")
}
