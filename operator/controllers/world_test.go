package controllers

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

type edit func(*v1alpha1.Network)

// network creates one of two /24-like ranges on eth1.
func (w *world) network(name string, changes ...edit) *v1alpha1.Network {
	w.t.Helper()
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.NetworkSpec{
		Type:    v1alpha1.NetworkTypeMacvlan,
		Macvlan: &v1alpha1.MacvlanSpec{Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}},
		IPAM: &v1alpha1.IPAMSpec{
			Ranges:     []v1alpha1.IPRange{{CIDR: "10.20.0.0/24", Gateway: "10.20.0.1"}, {CIDR: "fd00:20::/64"}},
			Quarantine: &metav1.Duration{Duration: 0},
		},
	}}
	for _, change := range changes {
		change(n)
	}
	w.must(w.Create(w.ctx, n))
	return n
}

func ranges(cidrs ...string) edit {
	return func(n *v1alpha1.Network) {
		n.Spec.IPAM.Ranges = nil
		for _, cidr := range cidrs {
			n.Spec.IPAM.Ranges = append(n.Spec.IPAM.Ranges, v1alpha1.IPRange{CIDR: cidr})
		}
	}
}

// pod creates one that selects networks; node "" leaves it unbound. own are its user's entries in spec.resourceClaims.
func (w *world) pod(name, networks, node string, own ...corev1.PodResourceClaim) *corev1.Pod {
	w.t.Helper()
	return w.annotated(name, map[string]string{v1alpha1.AnnotationNetworks: networks}, node, own...)
}

func (w *world) annotated(name string, annotations map[string]string, node string, own ...corev1.PodResourceClaim) *corev1.Pod {
	w.t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Annotations: annotations},
		Spec:       corev1.PodSpec{NodeName: node, ResourceClaims: own, Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	// As the admission policy does it, which is not installed here.
	for _, s := range decide.Selected(p) {
		if s.OwnClaim() {
			continue
		}
		template := v1alpha1.ClaimTemplateName(s.Network, s.QoSClass)
		if s.ByClass() {
			template = v1alpha1.ClassTemplateName(s.QoSClass)
		}
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: s.PodClaimName, ResourceClaimTemplateName: &template})
	}
	w.must(w.Create(w.ctx, p))
	return p
}

func (w *world) bind(pod *corev1.Pod, node string) {
	w.t.Helper()
	w.must(w.SubResource("binding").Create(w.ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}))
}

// attachments of a pod by interface.
func (w *world) attachments(pod *corev1.Pod) map[string]v1alpha1.PodNetworkAttachment {
	w.t.Helper()
	var list v1alpha1.PodNetworkAttachmentList
	w.must(w.List(w.ctx, &list, client.InNamespace(pod.Namespace)))
	found := map[string]v1alpha1.PodNetworkAttachment{}
	for _, pna := range list.Items {
		if pna.Spec.Pod.UID == pod.UID {
			found[string(pna.Spec.Interface)] = pna
		}
	}
	return found
}

// attached waits for n attachments of the pod.
func (w *world) attached(pod *corev1.Pod, n int) map[string]v1alpha1.PodNetworkAttachment {
	w.t.Helper()
	var found map[string]v1alpha1.PodNetworkAttachment
	w.eventually(fmt.Sprintf("%d attachments of pod %s", n, pod.Name), func() error {
		if found = w.attachments(pod); len(found) != n {
			return fmt.Errorf("found %d", len(found))
		}
		return nil
	})
	return found
}

// planned waits for the pod's condition.
func (w *world) planned(pod *corev1.Pod, status corev1.ConditionStatus, reason string) corev1.PodCondition {
	w.t.Helper()
	var found corev1.PodCondition
	w.eventually(fmt.Sprintf("pod %s planned=%s/%s", pod.Name, status, reason), func() error {
		var p corev1.Pod
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(pod), &p); err != nil {
			return err
		}
		c := plannedCondition(&p)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition is %+v", c)
		}
		found = *c
		return nil
	})
	return found
}

// release plays the agent: the sandbox is gone.
func (w *world) release(pna v1alpha1.PodNetworkAttachment) {
	w.t.Helper()
	w.must(client.IgnoreNotFound(w.Delete(w.ctx, &pna)))
	var current v1alpha1.PodNetworkAttachment
	if err := w.Get(w.ctx, client.ObjectKeyFromObject(&pna), &current); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	} else if err == nil {
		w.removeFinalizers(w.ctx, &current)
	}
}

// kill plays a forced deletion followed by garbage collector and agent.
func (w *world) kill(pod *corev1.Pod) {
	w.t.Helper()
	held := w.attachments(pod)
	w.must(w.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
	for _, pna := range held {
		w.release(pna)
	}
}

func addressList(pna v1alpha1.PodNetworkAttachment) string {
	var all []string
	for _, a := range pna.Spec.Addresses {
		all = append(all, a.Address)
	}
	return strings.Join(all, " ")
}
