package check

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// podIP is one element of the annotation multinet.dev/pod-ips.
type podIP struct {
	NetworkName string `json:"networkName"`
	Interface   string `json:"interface"`
	IP          string `json:"ip"`
}

// visible checks what the pod itself and readers of its object see.
func (p Pair) visible(ctx context.Context, e end) error {
	file, err := p.Cluster.InPod(ctx, &e.pod, "cat", "/run/multinet/networks.json")
	if err != nil {
		return err
	}
	p.say("/run/multinet/networks.json in %s:\n%s", e.pod.Name, indent(file))
	if !json.Valid([]byte(file)) {
		return fmt.Errorf("pod %s: /run/multinet/networks.json is not JSON", e.pod.Name)
	}
	status := e.pod.Annotations[v1alpha1.AnnotationNetworkStatus]
	p.say("annotations of %s:\n  %s: %s\n  %s:\n%s", e.pod.Name, v1alpha1.AnnotationPodIPs, e.pod.Annotations[v1alpha1.AnnotationPodIPs],
		v1alpha1.AnnotationNetworkStatus, indent(status))
	for _, prefix := range e.addresses {
		for where, text := range map[string]string{"/run/multinet/networks.json": file, v1alpha1.AnnotationNetworkStatus: status} {
			if !strings.Contains(text, prefix.Addr().String()) {
				return fmt.Errorf("pod %s: %s lacks address %s", e.pod.Name, where, prefix.Addr())
			}
		}
	}
	return podIPs(e)
}

// podIPs compares the annotation with the attachment, address by address, and looks at the readiness gate.
func podIPs(e end) error {
	var got []podIP
	if err := json.Unmarshal([]byte(e.pod.Annotations[v1alpha1.AnnotationPodIPs]), &got); err != nil {
		return fmt.Errorf("pod %s: annotation %s: %w", e.pod.Name, v1alpha1.AnnotationPodIPs, err)
	}
	var want []podIP
	for _, prefix := range e.addresses {
		want = append(want, podIP{e.attachment.Spec.NetworkName, string(e.attachment.Spec.Interface), prefix.Addr().String()})
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("pod %s: annotation %s holds %v instead of %v", e.pod.Name, v1alpha1.AnnotationPodIPs, got, want)
	}
	for _, condition := range e.pod.Status.Conditions {
		if condition.Type == v1alpha1.PodConditionAttached && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("pod %s: condition %s is not True", e.pod.Name, v1alpha1.PodConditionAttached)
}
