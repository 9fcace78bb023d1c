package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// fate of a request.
type fate int

const (
	fateDone fate = iota
	fateLost
	fateAnswerLost
	fateLate // it is done later than its sender believes; creates only
	fateBusy // refused before anything is stored; creates only
)

type lateCreate struct {
	identity string
	object   client.Object
	sent     int // events that there were then
	at       time.Time
}

// retention of claims that the operator made.
const retention = time.Minute

// leadersWorld is a cluster with two operators, of which each may believe to lead.
type leadersWorld struct {
	t         *rapid.T
	ctx       context.Context
	store     store
	lease     lease
	operators []*operatorProcess
	sandboxes []sandbox
	late      []lateCreate
	// probes: agents look for other users of an address. Without it only the operator is in the way of a duplicate.
	probes bool
	// calm: no request is lost any more.
	calm   bool
	serial int
	// capacity is the number of addresses.
	capacity int
	// sticky: addresses stay with a pod's name.
	sticky bool
	// racks: the Network has some, see leaders_racks_test.go.
	racks bool
	// overtaking: one operator works while the other one is in the middle of a request.
	overtaking bool
}

func newLeadersWorld(ctx context.Context, t *rapid.T) *leadersWorld {
	w := &leadersWorld{t: t, ctx: ctx, store: store{objects: map[storedKey]client.Object{}}}
	cidr := "10.0.0.0/30"
	if w.capacity = rapid.SampledFrom([]int{2, 6}).Draw(t, "addresses"); w.capacity == 6 {
		cidr = "10.0.0.0/29"
	}
	var sticky v1alpha1.StickyPolicy
	if w.sticky = rapid.Bool().Draw(t, "sticky"); w.sticky {
		sticky = v1alpha1.StickyPodName
	}
	w.store.put(&v1alpha1.Network{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Generation: 1, Finalizers: []string{v1alpha1.FinalizerInUse}},
		Spec: v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeMacvlan, Macvlan: &v1alpha1.MacvlanSpec{}, IPAM: &v1alpha1.IPAMSpec{
			Ranges:     []v1alpha1.IPRange{{CIDR: cidr}},
			Quarantine: &metav1.Duration{Duration: time.Duration(rapid.SampledFrom([]int{0, 5, 60}).Draw(t, "quarantine")) * time.Second},
			Sticky:     sticky,
			Retention:  &metav1.Duration{Duration: retention},
		}}})
	w.start()
	return w
}

func newProbingWorld(ctx context.Context, t *rapid.T) *leadersWorld {
	w := newLeadersWorld(ctx, t)
	w.probes = true
	return w
}

// start puts what every world has beside its Network, and the operators.
func (w *leadersWorld) start() {
	w.store.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	for _, name := range []string{"node1", "node2"} {
		w.store.put(nodeObject(name))
	}
	for range 2 {
		w.operators = append(w.operators, w.startOperator(w.identity(), len(w.store.history)))
	}
}

// identity of a process is new with each start, as in main.
func (w *leadersWorld) identity() string {
	w.serial++
	return fmt.Sprintf("operator-%d", w.serial)
}

func (w *leadersWorld) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *leadersWorld) coin(what string) bool { return !w.calm && rapid.Bool().Draw(w.t, what) }

func (w *leadersWorld) rarely(what string) bool {
	return !w.calm && rapid.IntRange(0, 9).Draw(w.t, what) == 9
}

// overtake lets the other operator lead and work while one stands still.
func (w *leadersWorld) overtake(stopped *operatorProcess) {
	pass(time.Duration(rapid.SampledFrom([]int{8, 16, 16}).Draw(w.t, "stopped")) * time.Second)
	for _, o := range w.operators {
		if o != stopped && !w.overtaking {
			w.overtaking = true
			o.step(w.t)
			w.overtaking = false
		}
	}
}

func (w *leadersWorld) fate(create bool) fate {
	fates := []fate{fateDone, fateDone, fateDone, fateDone, fateLost, fateAnswerLost}
	if create {
		fates = append(fates, fateLate, fateBusy)
	}
	if w.calm {
		return fateDone
	}
	return rapid.SampledFrom(fates).Draw(w.t, "fate")
}

// expire: the lease is longer than the fence's window by the time that a request may still take. Without a probe the
// model takes that for granted: what others have sent is over when the lease changes hands.
func (w *leadersWorld) expire(identity string) {
	if !w.probes {
		w.late = slices.DeleteFunc(w.late, func(c lateCreate) bool { return c.identity != identity })
	}
}

func (w *leadersWorld) newPod(name, node string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: map[string]string{v1alpha1.AnnotationNetworks: "n"}},
		Spec:       corev1.PodSpec{NodeName: node},
	}
	for _, s := range decide.Selected(p) {
		template := v1alpha1.ClaimTemplateName(s.Network, s.QoSClass)
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: s.PodClaimName, ResourceClaimTemplateName: &template})
	}
	return p
}

// check is the property.
func (w *leadersWorld) check() {
	holder := map[string]string{}
	for _, pna := range w.store.attachments() {
		counts := pna.DeletionTimestamp.IsZero() && decide.Ready(pna) && w.store.pod(pna.Spec.Pod.UID) != nil
		for _, key := range addressKeys(pna) {
			// Where no request outlives the lease, the operator alone makes every record unique, Ready or not.
			if counts || !w.probes {
				if other := holder[key]; other != "" {
					w.t.Fatalf("%s is held by %s and %s", key, other, pna.Name)
				}
				holder[key] = pna.Name
			}
		}
	}
	if w.racks {
		w.checkRacks()
	}
}

// checkKept: where addresses stay with a pod's name, none is sent to a pod that is not kept for the next one, as far as the
// operator can know: another one may have deleted a claim that its cache still shows.
func (o *operatorProcess) checkKept(pna *v1alpha1.PodNetworkAttachment) {
	w := o.world
	if !w.sticky || w.probes {
		return
	}
	key := types.NamespacedName{Namespace: pna.Namespace, Name: decide.StickyClaimName(pna.Spec.Pod.Name, "n", string(pna.Spec.Interface))}
	for _, objects := range []map[storedKey]client.Object{w.store.objects, o.shelf.objects} {
		claim, _ := objects[storedKey{"*v1alpha1.AddressClaim", key}].(*v1alpha1.AddressClaim)
		if claim != nil && claim.Spec.MAC == pna.Spec.MAC && slices.Equal(decide.ClaimAddresses(claim), decide.Addresses(pna)) {
			return
		}
	}
	w.t.Fatalf("%s gets %s, which is not kept", pna.Name, addressList(*pna))
}
