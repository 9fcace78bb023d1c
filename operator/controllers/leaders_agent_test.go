package controllers

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// sandbox is what runs on a node with an attachment's addresses.
type sandbox struct {
	node string
	pod  types.UID
	uid  types.UID // of the attachment
	keys []string  // as addressKeys
}

// attach is the agent's way to Ready. What the model has it assume is that nobody takes the address between the probe and
// the attach; see docs/decisions.
func (w *leadersWorld) attach(pna *v1alpha1.PodNetworkAttachment) {
	s := sandbox{pna.Spec.NodeName, pna.Spec.Pod.UID, pna.UID, addressKeys(pna)}
	if w.runs(pna.Spec.Pod.UID) || w.probes && w.taken(s) {
		return
	}
	w.sandboxes = append(w.sandboxes, s)
}

// taken is the answer of the wire probe, or of the kernel, which refuses the MAC that is derived from the address.
func (w *leadersWorld) taken(s sandbox) bool {
	return slices.ContainsFunc(w.sandboxes, func(o sandbox) bool {
		return slices.ContainsFunc(s.keys, func(key string) bool { return slices.Contains(o.keys, key) })
	})
}

func (w *leadersWorld) runs(pod types.UID) bool {
	return slices.ContainsFunc(w.sandboxes, func(s sandbox) bool { return s.pod == pod })
}

// report writes Ready of what was attached.
func (w *leadersWorld) report(pna *v1alpha1.PodNetworkAttachment) {
	attached := slices.ContainsFunc(w.sandboxes, func(s sandbox) bool { return s.uid == pna.UID })
	if !attached || decide.Ready(pna) {
		return
	}
	ready := pna.DeepCopy()
	ready.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAttached}}
	w.must(w.store.update(ready))
}

// release lets the finalizer go once no sandbox of the pod runs.
func (w *leadersWorld) release(pna *v1alpha1.PodNetworkAttachment) {
	if pna.DeletionTimestamp.IsZero() || w.runs(pna.Spec.Pod.UID) {
		return
	}
	released := pna.DeepCopy()
	released.Finalizers = nil
	w.must(w.store.update(released))
}

// agentStep does what the agent of the attachment's node does next. A node that is gone has no agent.
func (w *leadersWorld) agentStep(pna *v1alpha1.PodNetworkAttachment) {
	switch node := w.node(pna.Spec.NodeName); {
	case node == nil:
	case !pna.DeletionTimestamp.IsZero():
		w.release(pna)
	case w.store.pod(pna.Spec.Pod.UID) == nil:
	case !w.runs(pna.Spec.Pod.UID):
		w.attach(pna)
	default:
		w.report(pna)
	}
}

func (w *leadersWorld) node(name string) *corev1.Node {
	node, _ := w.store.objects[storedKey{"*v1.Node", types.NamespacedName{Name: name}}].(*corev1.Node)
	return node
}

// stopSandboxes of pods that are gone: a pod that was deleted by force runs on for a while.
func (w *leadersWorld) stopSandboxes() {
	w.sandboxes = slices.DeleteFunc(w.sandboxes, func(s sandbox) bool { return w.store.pod(s.pod) == nil })
}

// collectGarbage deletes the attachments of pods that are gone.
func (w *leadersWorld) collectGarbage() {
	for _, pna := range w.store.attachments() {
		if w.store.pod(pna.Spec.Pod.UID) == nil {
			w.must(w.store.delete(pna, nil))
		}
	}
}

// loseNode: the object is deleted because the machine is off, and its pods with it.
func (w *leadersWorld) loseNode(node *corev1.Node) {
	w.must(w.store.delete(node, nil))
	w.sandboxes = slices.DeleteFunc(w.sandboxes, func(s sandbox) bool { return s.node == node.Name })
	for _, pod := range w.store.pods() {
		if pod.Spec.NodeName == node.Name {
			w.must(w.store.delete(pod, nil))
		}
	}
}

func nodeObject(name string) client.Object {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.DefaultTopologyKey: "rack-" + name}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}},
	}
}
