//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// attached compares one pod's attachments with its selection, their status and the kernel.
func attached(pod *corev1.Pod, all []v1alpha1.PodNetworkAttachment, state nodeState) error {
	selections, err := selection.Parse(pod.Annotations[v1alpha1.AnnotationNetworks])
	if err != nil {
		return err
	}
	byInterface := map[string]v1alpha1.PodNetworkAttachment{}
	for _, a := range all {
		if a.Spec.Pod.UID == pod.UID {
			byInterface[string(a.Spec.Interface)] = a
		}
	}
	if len(byInterface) != len(selections) {
		return fmt.Errorf("pod %s has %d attachments and selects %d networks", pod.Name, len(byInterface), len(selections))
	}
	for _, want := range selections {
		a, ok := byInterface[want.Interface]
		if !ok || want.Network != "" && a.Spec.NetworkName != want.Network {
			return fmt.Errorf("pod %s has no attachment of %s on %s", pod.Name, want, want.Interface)
		}
		if !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.AttachmentConditionReady) {
			return fmt.Errorf("pod %s: attachment %s has conditions %v", pod.Name, a.Name, a.Status.Conditions)
		}
		if a.Spec.CNI != nil || a.Spec.HostDevice != nil {
			continue // what plugins make, and NICs, their tests look at
		}
		if _, err := state.linkOf(a); err != nil {
			return err
		}
	}
	return nil
}

// assertClean waits until nothing is left of pods that are gone: of the test's own, and of all on its nodes.
func (s *scene) assertClean() {
	s.t.Helper()
	s.until(3*time.Minute, "the cluster to be clean", func(ctx context.Context) error {
		// Nodes first: what a node holds must belong to a pod that is still there a moment later.
		states := map[string]nodeState{}
		for _, node := range s.nodes {
			state, err := s.inspectNode(ctx, node)
			if err != nil {
				return err
			}
			states[node] = state
		}
		w, err := s.world(ctx)
		if err != nil {
			return err
		}
		trouble := []error{w.leftOver(s.namespace), w.duplicates()}
		for node, state := range states {
			trouble = append(trouble, w.leaked(node, state), w.overlaysDiffer(node, state))
		}
		return errors.Join(trouble...)
	})
	s.assertBystanders()
}

// world is what the API says.
type world struct {
	pods        map[types.UID]corev1.Pod
	attachments []v1alpha1.PodNetworkAttachment
	claims      []resourceapi.ResourceClaim
}

func (s *scene) world(ctx context.Context) (world, error) {
	var attachments v1alpha1.PodNetworkAttachmentList
	var claims resourceapi.ResourceClaimList
	var pods corev1.PodList
	if err := errors.Join(s.List(ctx, &attachments), s.List(ctx, &claims), s.List(ctx, &pods)); err != nil {
		return world{}, err
	}
	w := world{pods: map[types.UID]corev1.Pod{}, attachments: attachments.Items, claims: claims.Items}
	for _, p := range pods.Items {
		w.pods[p.UID] = p
	}
	return w, nil
}

// leftOver names what is still in a namespace that should be empty.
func (w world) leftOver(namespace string) error {
	for _, p := range w.pods {
		if p.Namespace == namespace {
			return fmt.Errorf("pod %s is stuck, deleted at %v", p.Name, p.DeletionTimestamp)
		}
	}
	for _, a := range w.attachments {
		if a.Namespace == namespace {
			return fmt.Errorf("attachment %s with addresses %v is leaked, deleted at %v", a.Name, a.Spec.Addresses, a.DeletionTimestamp)
		}
	}
	for _, c := range w.claims {
		if c.Namespace == namespace {
			return fmt.Errorf("claim %s is leaked", c.Name)
		}
	}
	return nil
}

// emptyNamespace is nil when nothing of ours is left in a namespace.
func (s *scene) emptyNamespace(namespace string) func(context.Context) error {
	return func(ctx context.Context) error {
		w, err := s.world(ctx)
		return errors.Join(err, w.leftOver(namespace))
	}
}

// duplicates names two attachments of one Network with the same address.
func (w world) duplicates() error {
	type key struct {
		network string
		address netip.Addr
	}
	holders := map[key]string{}
	for _, a := range w.attachments {
		for _, address := range a.Spec.Addresses {
			k := key{a.Spec.NetworkName, netip.MustParsePrefix(address.Address).Addr()}
			if other, taken := holders[k]; taken {
				return fmt.Errorf("attachments %s and %s/%s both hold %s of Network %s", other, a.Namespace, a.Name, k.address, k.network)
			}
			holders[k] = a.Namespace + "/" + a.Name
		}
	}
	return nil
}

// leaked names what a node holds for no pod, and attachments without pod.
func (w world) leaked(node string, state nodeState) error {
	for _, uid := range state.ledger {
		if p, ok := w.pods[types.UID(uid)]; !ok || p.Spec.NodeName != node {
			return fmt.Errorf("node %s: the ledger has a plan for pod %s, which is gone", node, uid)
		}
	}
	for _, uid := range state.folders {
		if p, ok := w.pods[types.UID(uid)]; !ok || p.Spec.NodeName != node {
			return fmt.Errorf("node %s: /run/multinet/pods has a folder for pod %s, which is gone", node, uid)
		}
	}
	for _, uid := range state.selected {
		if p, ok := w.pods[types.UID(uid)]; !ok || p.Spec.NodeName != node {
			return fmt.Errorf("node %s: /run/multinet has a record of pod %s, which is gone", node, uid)
		}
	}
	macs, devices := map[string]bool{}, false
	for _, a := range w.attachments {
		if a.Spec.NodeName != node {
			continue
		}
		devices = devices || a.Status.Device != nil && a.Status.Device.PCIAddress != ""
		if _, ok := w.pods[a.Spec.Pod.UID]; !ok {
			return fmt.Errorf("attachment %s/%s is leaked: its pod is gone", a.Namespace, a.Name)
		}
		macs[a.Spec.MAC] = true
	}
	if len(state.files) > 0 && !devices {
		return fmt.Errorf("node %s: no pod has a device, and there are %v", node, state.files)
	}
	for _, l := range state.links {
		if l.onNode || !macs[l.MAC] {
			return fmt.Errorf("node %s: link %s (%s) in %s belongs to no attachment", node, l.Name, l.MAC, l.namespace)
		}
	}
	return nil
}
