package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// class guarantees egress bandwidth.
func (w *world) class(name, guaranteed string) *v1alpha1.QoSClass {
	w.t.Helper()
	c := &v1alpha1.QoSClass{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: ptr.To(resource.MustParse(guaranteed))}}}
	w.must(w.Create(w.ctx, c))
	return c
}

func (w *world) editClass(name string, change func(*v1alpha1.QoSClassSpec)) {
	w.t.Helper()
	var c v1alpha1.QoSClass
	w.must(w.Get(w.ctx, client.ObjectKey{Name: name}, &c))
	before := c.DeepCopy()
	change(&c.Spec)
	w.must(w.Patch(w.ctx, &c, client.MergeFrom(before)))
}

func guarantee(egress string) func(*v1alpha1.QoSClassSpec) {
	return func(s *v1alpha1.QoSClassSpec) { s.Egress.Guaranteed = ptr.To(resource.MustParse(egress)) }
}

// book plays kube-controller-manager and scheduler: a claim for the pod's first network that has bandwidth of a node's eth1.
func (w *world) book(pod *corev1.Pod, node, egress string) {
	w.t.Helper()
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name + "-net",
		Annotations:     map[string]string{resourcev1.PodResourceClaimAnnotation: decide.Selected(pod)[0].PodClaimName},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: ptr.To(true)}},
	}, Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
		{Name: "nic", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "storage.multinet.dev"}}}}}}
	w.must(w.Create(w.ctx, claim))
	claim.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{
		Request: "nic", Driver: v1alpha1.DriverName, Pool: node, Device: "eth1", ShareID: ptr.To(pod.UID),
		ConsumedCapacity: map[resourcev1.QualifiedName]resource.Quantity{v1alpha1.DeviceCapacityBandwidth: resource.MustParse(egress)}}}}}
	w.must(w.Status().Update(w.ctx, claim))
	w.t.Cleanup(func() { _ = w.Delete(context.Background(), claim) })
}

func (w *world) unbook(pod *corev1.Pod) {
	w.t.Helper()
	w.must(w.Delete(w.ctx, &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name + "-net"}}))
}

// guaranteed waits until the pod's attachment has a guarantee of egress.
func (w *world) guaranteed(pod *corev1.Pod, egress string) v1alpha1.PodNetworkAttachment {
	w.t.Helper()
	var pna v1alpha1.PodNetworkAttachment
	w.eventually("attachment of pod "+pod.Name+" with "+egress, func() error {
		pna = w.attachments(pod)["net1"]
		if pna.Spec.QoS == nil || pna.Spec.QoS.Egress == nil || pna.Spec.QoS.Egress.Guaranteed.Cmp(resource.MustParse(egress)) != 0 {
			return fmt.Errorf("it has %+v", pna.Spec.QoS)
		}
		return nil
	})
	return pna
}

// classIs waits for counts of a class (attachments, current, restart) and the reason of RolledOut.
func (w *world) classIs(name string, attachments, current, restart int32, reason string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("class %s with %d attachments, %s", name, attachments, reason), func() error {
		var c v1alpha1.QoSClass
		w.must(w.Get(w.ctx, client.ObjectKey{Name: name}, &c))
		s, got := c.Status, meta.FindStatusCondition(c.Status.Conditions, v1alpha1.QoSClassConditionRolledOut)
		if s.Attachments != attachments || s.Current != current || s.Restart != restart || got == nil || got.Reason != reason || s.ObservedGeneration != c.Generation {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

func TestQoSClassIsRolledOut(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.class("gold", "1G")
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" })
	pod, other := w.pod("a", "storage", "node1"), w.pod("b", "storage", "node1")
	w.book(pod, "node1", "1G")
	w.book(other, "node1", "3G")
	before := w.guaranteed(pod, "1G")
	w.guaranteed(other, "1G")
	w.classIs("gold", 2, 2, 0, v1alpha1.ReasonRolledOut)

	w.editClass("gold", guarantee("500M"))
	w.guaranteed(pod, "500M")
	w.guaranteed(other, "500M")
	w.classIs("gold", 2, 2, 0, v1alpha1.ReasonRolledOut)

	// The scheduler has set aside 1G for one and 3G for the other. The rest of the class reaches both.
	w.editClass("gold", func(s *v1alpha1.QoSClassSpec) { guarantee("2G")(s); s.DSCP = ptr.To(int32(46)) })
	after := w.guaranteed(pod, "1G")
	if w.guaranteed(other, "2G"); after.Spec.QoS.DSCP == nil || after.UID != before.UID {
		t.Errorf("attachment %+v", after)
	}
	w.classIs("gold", 2, 1, 1, v1alpha1.ReasonRestartPods)

	w.kill(pod)
	w.unbook(pod)
	w.classIs("gold", 1, 1, 0, v1alpha1.ReasonRolledOut)
	again := w.pod("a", "storage", "node1")
	w.guaranteed(again, "2G")
	w.classIs("gold", 2, 2, 0, v1alpha1.ReasonRolledOut)
}

// TestManyAttachmentsGetTheClass counts the writes: one for each attachment. The time is told, since it is the machine's.
func TestManyAttachmentsGetTheClass(t *testing.T) {
	const n = 100
	w := newWorld(t)
	w.startManager()
	w.class("gold", "1G")
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" })
	for i := range n {
		w.pod(fmt.Sprintf("p%d", i), "storage", "node1")
	}
	w.classIs("gold", n, n, 0, v1alpha1.ReasonRolledOut)
	start := time.Now()
	w.editClass("gold", guarantee("900M"))
	var list v1alpha1.PodNetworkAttachmentList
	w.eventually("all to have 900M", func() error {
		w.must(w.List(w.ctx, &list, client.InNamespace(w.namespace)))
		for _, pna := range list.Items {
			if g := pna.Spec.QoS.Egress.Guaranteed; g.Cmp(resource.MustParse("900M")) != 0 {
				return fmt.Errorf("%s has %s", pna.Name, g)
			}
		}
		return nil
	})
	t.Logf("%d attachments after %s", n, time.Since(start))
	w.classIs("gold", n, n, 0, v1alpha1.ReasonRolledOut)
	w.must(w.List(w.ctx, &list, client.InNamespace(w.namespace)))
	for _, pna := range list.Items {
		if pna.Generation != 2 {
			t.Errorf("attachment %s was written %d times", pna.Name, pna.Generation-1)
		}
	}
}

// TestStaleAttachmentIsNotOverwritten: what another leader has written since is read first.
func TestStaleAttachmentIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	class := w.class("gold", "1G")
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" })
	read := w.guaranteed(w.pod("a", "storage", "node1"), "1G")
	stop()
	newer := read.DeepCopy()
	newer.Spec.QoS.Egress.Guaranteed = ptr.To(resource.MustParse("2G"))
	w.must(w.Update(w.ctx, newer))
	r := &QoSClassReconciler{Client: w.Client, Live: w.Client}
	wanted := read.Spec.QoS.DeepCopy()
	wanted.Egress.Guaranteed = ptr.To(resource.MustParse("3G"))
	if stale, err := r.change(w.ctx, &read, wanted); !stale || err != nil {
		t.Errorf("a write over a newer one: stale %v, %v", stale, err)
	}
	wanted.Egress.Maximum = ptr.To(resource.MustParse("1G"))
	if stale, err := r.change(w.ctx, newer, wanted); stale || err == nil || !strings.Contains(err.Error(), "guaranteed must not exceed maximum") {
		t.Errorf("what the API server refuses: stale %v, %v", stale, err)
	}
	r.Fence = &Fence{}
	if _, err := r.rollOut(w.ctx, decide.QoSClassFacts{Class: class, Uses: []decide.ClassUse{{Attachment: newer}}}); !errors.Is(err, ErrFenced) {
		t.Errorf("without the lease: %v", err)
	}
}

func TestQoSClassInUseStays(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	class := w.class("gold", "1G")
	n := w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" })
	pod := w.pod("a", "storage", "node1")
	w.guaranteed(pod, "1G")
	w.must(w.Delete(w.ctx, class))
	w.planned(w.pod("b", "storage", "node1"), "False", v1alpha1.ReasonQoSClassDeleting)
	inUse := func(says string) {
		t.Helper()
		w.eventually("the class to be in use by "+says, func() error {
			w.must(w.Get(w.ctx, client.ObjectKey{Name: "gold"}, class))
			if c := meta.FindStatusCondition(class.Status.Conditions, v1alpha1.QoSClassConditionInUse); c == nil || !strings.Contains(c.Message, says) {
				return fmt.Errorf("condition %+v", c)
			}
			return nil
		})
	}
	inUse("1 attachments and for these Networks to name another one in spec.qosClassName: storage")
	w.must(w.editNetwork(n.Name, func(n *v1alpha1.Network) { n.Spec.QoSClassName = "" }))
	inUse("1 attachments.")
	w.kill(pod)
	w.eventually("the class to go", func() error {
		if err := w.Get(w.ctx, client.ObjectKey{Name: "gold"}, class); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
}

func TestClassThatIsAllowedNoMore(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.class("gold", "1G")
	w.network("storage")
	pod := w.pod("a", "storage:gold", "")
	w.planned(pod, "False", v1alpha1.ReasonQoSClassNotAllowed)
	w.must(w.editNetwork("storage", func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = []string{"gold"} }))
	w.planned(pod, "True", v1alpha1.ReasonPlanned)
	template := client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.ClaimTemplateName("storage", "gold")}
	w.must(w.Get(w.ctx, template, &resourcev1.ResourceClaimTemplate{}))
	running := w.pod("b", "storage:gold", "node1")
	before := w.guaranteed(running, "1G")
	w.must(w.editNetwork("storage", func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = nil }))
	w.planned(pod, "False", v1alpha1.ReasonQoSClassNotAllowed)
	w.eventually("the template to go", func() error {
		if err := w.Get(w.ctx, template, &resourcev1.ResourceClaimTemplate{}); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	if after := w.attachments(running)["net1"]; after.UID != before.UID || !after.DeletionTimestamp.IsZero() {
		t.Errorf("the running pod's attachment was touched: %+v", after)
	}
}

// TestPodShortOfBandwidth: the scheduler says that it has no place; we say what is short, until it is not, and then have it look
// again, since it may have refused a pod for what is there.
func TestPodShortOfBandwidth(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.sliceWith("node1", "10G")
	w.class("four", "4G")
	w.network("storage", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "four" })
	var first *corev1.Pod
	for _, name := range []string{"a", "b"} {
		pod := w.pod(name, "storage", "node1")
		w.book(pod, "node1", "4G")
		w.attached(pod, 1)
		first = pod
	}
	w.eventually("the Network's bandwidth", func() error {
		var n v1alpha1.Network
		w.must(w.Get(w.ctx, client.ObjectKey{Name: "storage"}, &n))
		if s := n.Status; s.BandwidthSummary != "8G/10G out, 0/10G in" || len(s.Bandwidth) != 1 || s.Bandwidth[0].Uplink != "eth1" || len(s.Fullest) != 1 || s.Fullest[0].Node != "node1" {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	third := w.pod("c", "storage", "")
	w.unschedulable(third)
	c := w.planned(third, "False", v1alpha1.ReasonInsufficientBandwidth)
	if !strings.Contains(c.Message, `Network "storage" with QoSClass "four" guarantees 4G egress; nodes with a NIC for it that admit the pod: 1, with as much left: 0.`) ||
		!strings.Contains(c.Message, "node1 (eth1): 2G of 10G egress") {
		t.Errorf("message %q", c.Message)
	}
	if at := w.lookAgainAt("storage"); at != "" {
		t.Errorf("the scheduler was asked again about a pod that nothing is left for, at %s", at)
	}
	w.kill(first)
	w.unbook(first)
	w.planned(third, "True", v1alpha1.ReasonPlanned)
	asked := w.askedAgain("storage", "")
	// Before the scheduler looks at the pod again another one has the room.
	other := w.pod("d", "storage", "node1")
	w.book(other, "node1", "4G")
	w.attached(other, 1)
	w.planned(third, "False", v1alpha1.ReasonInsufficientBandwidth)
	w.kill(other)
	w.unbook(other)
	w.planned(third, "True", v1alpha1.ReasonPlanned)
	w.askedAgain("storage", asked)
	w.bind(third, "node1")
	w.attached(third, 1)
}

// TestPodThatNoNodeCanHave: the same where a Network has no NIC on any node.
func TestPodThatNoNodeCanHave(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.sliceWith("node1", "10G")
	w.network("storage")
	w.network("nowhere", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth9"} })
	pod := w.pod("a", "storage,nowhere", "")
	w.unschedulable(pod)
	if c := w.planned(pod, "False", v1alpha1.ReasonNoNode); !strings.Contains(c.Message, `Network "nowhere" has no device on nodes that admit the pod`) {
		t.Errorf("message %q", c.Message)
	}
	w.must(w.editNetwork("nowhere", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth1"} }))
	w.planned(pod, "True", v1alpha1.ReasonPlanned)
	if at := w.lookAgainAt("nowhere"); at != "" {
		t.Errorf("the scheduler was asked again about a pod without a guarantee, at %s", at)
	}
}

// unschedulable plays the scheduler that has no node for a pod.
func (w *world) unschedulable(pod *corev1.Pod) {
	w.t.Helper()
	before := pod.DeepCopy()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/1 nodes are available: 1 cannot allocate all claims."}}
	w.must(w.Status().Patch(w.ctx, pod, client.MergeFrom(before)))
}

// lookAgainAt is when the scheduler was last asked to look again at pods of a Network.
func (w *world) lookAgainAt(network string) string {
	w.t.Helper()
	var class resourcev1.DeviceClass
	w.must(w.Get(w.ctx, client.ObjectKey{Name: v1alpha1.DeviceClassName(network)}, &class))
	return class.Annotations[v1alpha1.AnnotationLookAgainAt]
}

// askedAgain waits until that is another time than before.
func (w *world) askedAgain(network, before string) (at string) {
	w.t.Helper()
	w.eventually("the scheduler to be asked to look again", func() error {
		if at = w.lookAgainAt(network); at == before {
			return fmt.Errorf("it was at %q", at)
		}
		return nil
	})
	return at
}

// TestOverlookedOnce: the scheduler is asked once about a pod for each content of the bookings.
func TestOverlookedOnce(t *testing.T) {
	w, a, b := newWaiting(), types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	for i, test := range []struct {
		pod     types.NamespacedName
		version int
		want    bool
	}{{a, 1, true}, {a, 1, false}, {b, 1, true}, {a, 2, true}, {a, 2, false}, {b, 2, true}} {
		w.add(test.pod, []string{"storage"})
		if got := w.overlooked(test.pod, test.version); got != test.want {
			t.Errorf("%d: %v", i, got)
		}
		if test.want && !w.overlooked(test.pod, test.version) {
			t.Errorf("%d: taken for asked before it was", i)
		}
		w.askedFor(test.pod, test.version)
	}
	w.remove(a)
	if !w.overlooked(a, 2) {
		t.Error("a pod that has waited before is not asked for")
	}
}
