package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// unique fails if two attachments of the cluster share an address of one network.
func (w *world) unique() error {
	var list v1alpha1.PodNetworkAttachmentList
	if err := w.List(w.ctx, &list); err != nil {
		return err
	}
	holder := map[string]string{}
	for i := range list.Items {
		for _, key := range addressKeys(&list.Items[i]) {
			if other := holder[key]; other != "" {
				return fmt.Errorf("%s is held by %s and %s", key, other, list.Items[i].Name)
			}
			holder[key] = list.Items[i].Name
		}
	}
	return nil
}

func TestOperatorRestartedWhileAllocating(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.network("storage", ranges("10.20.0.0/24", "fd00:20::/64"))
	var pods []*corev1.Pod
	for i := range 40 {
		pods = append(pods, w.pod(fmt.Sprintf("p%d", i), "storage", "node1"))
		if i == 20 {
			stop()
		}
	}
	before := map[string]string{}
	for _, pod := range pods {
		for _, pna := range w.attachments(pod) {
			before[pna.Name] = addressList(pna)
		}
	}
	w.startManager()
	for _, pod := range pods {
		pna := w.attached(pod, 1)["net1"]
		if was, ok := before[pna.Name]; ok && was != addressList(pna) {
			t.Errorf("%s: %s became %s", pna.Name, was, addressList(pna))
		}
	}
	w.must(w.unique())
}

// Two operators that both believe to lead, without the fence: the pods end with unique addresses.
func TestTwoLeadersRacing(t *testing.T) {
	w := newWorld(t)
	w.network("storage", ranges("10.20.0.0/24"))
	w.startManager()
	w.startManager()
	var pods []*corev1.Pod
	for i := range 30 {
		pods = append(pods, w.pod(fmt.Sprintf("p%d", i), "storage", "node1"))
	}
	w.eventually("unique addresses", func() error {
		for _, pod := range pods {
			found := w.attachments(pod)
			for _, pna := range found {
				if !pna.DeletionTimestamp.IsZero() {
					w.release(pna)
				}
			}
			if len(w.attachments(pod)) != 1 {
				return fmt.Errorf("pod %s has no attachment", pod.Name)
			}
		}
		return w.unique()
	})
}

// unsaved is an attachment to network "storage".
func (w *world) unsaved(name, address string) *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Finalizers: []string{v1alpha1.FinalizerRelease}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: name, UID: types.UID(name)}, NetworkName: "storage", NodeName: "node1", Interface: "net1",
			Type: v1alpha1.NetworkTypeMacvlan, MAC: "02:00:00:00:00:01",
			Macvlan:   &v1alpha1.MacvlanSpec{Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}},
			Addresses: []v1alpha1.AttachmentAddress{{Address: address}},
		},
	}
}

// foreign makes an attachment as a second leader would.
func (w *world) foreign(name, address string, ready bool) *v1alpha1.PodNetworkAttachment {
	w.t.Helper()
	pna := w.unsaved(name, address)
	w.must(w.Create(w.ctx, pna))
	if ready {
		before := pna.DeepCopy()
		pna.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionReady, Status: metav1.ConditionTrue,
			Reason: v1alpha1.ReasonAttached, LastTransitionTime: metav1.NewTime(time.Now())}}
		w.must(w.Status().Patch(w.ctx, pna, client.MergeFrom(before)))
	}
	return pna
}

func TestDuplicateNeverTakesTheReadyOne(t *testing.T) {
	w := newWorld(t)
	w.network("storage")
	older := w.foreign("older", "10.20.0.9/24", false)
	younger := w.foreign("younger", "10.20.0.9/24", true)
	w.startManager()
	w.eventually("the one that is not ready to go", func() error {
		w.must(w.Get(w.ctx, client.ObjectKeyFromObject(older), older))
		if older.DeletionTimestamp.IsZero() {
			return fmt.Errorf("not being deleted")
		}
		return nil
	})
	w.release(*older)
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(younger), younger))
	if !younger.DeletionTimestamp.IsZero() {
		t.Error("the ready one was deleted")
	}
	// What was freed must not be given out: the other one still has it.
	for i := range 12 {
		if pna := w.attached(w.pod(fmt.Sprintf("p%d", i), "storage", "node1"), 1)["net1"]; pna.Spec.Addresses[0].Address == "10.20.0.9/24" {
			t.Fatalf("%s got the address of a living attachment", pna.Name)
		}
	}
}

func TestNodeGoneFrees(t *testing.T) {
	w := newWorld(t)
	w.network("storage")
	for _, name := range []string{"gone", "off", "alive"} {
		w.must(w.Create(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	w.startManager()
	held := map[string]v1alpha1.PodNetworkAttachment{}
	for _, node := range []string{"gone", "off", "alive"} {
		pod := w.pod(node, "storage", node)
		held[node] = w.attached(pod, 1)["net1"]
		w.must(w.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
		pna := held[node]
		w.must(w.Delete(w.ctx, &pna))
	}
	w.must(w.Delete(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}))
	off := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "off"}}
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(off), off))
	off.Spec.Taints = append(off.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute})
	w.must(w.Update(w.ctx, off))
	for _, node := range []string{"gone", "off"} {
		w.eventually("release on node "+node, func() error {
			var pna v1alpha1.PodNetworkAttachment
			if err := w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: held[node].Name}, &pna); err == nil {
				return fmt.Errorf("still there")
			}
			return nil
		})
	}
	var alive v1alpha1.PodNetworkAttachment
	w.must(w.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: held["alive"].Name}, &alive))
}

// A pod that is deleted by force and comes back under its name: the old one keeps its address until the agent
// has confirmed, the new one gets another.
func TestForceDeletedPod(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.network("storage")
	old := w.pod("db-0", "storage", "node1")
	held := w.attached(old, 1)["net1"]
	w.must(w.Delete(w.ctx, old, client.GracePeriodSeconds(0)))
	w.must(w.Delete(w.ctx, &held))
	successor := w.pod("db-0", "storage", "node2")
	if got := w.attached(successor, 1)["net1"]; addressList(got) == addressList(held) {
		t.Errorf("both have %s", addressList(got))
	}
	w.must(w.unique())
	w.release(held)
}
