package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// What an attachment has was recorded for its rack before, and stays so while the attachment is there, whatever the
// leaders do.
func TestLeadersNeverGiveAwayWhatARackHas(t *testing.T) { checkLeaders(t, newRacksWorld) }

// newRacksWorld has more racks than prefixes and VNIs, so that what one gives back goes to another.
func newRacksWorld(ctx context.Context, t *rapid.T) *leadersWorld {
	w := &leadersWorld{t: t, ctx: ctx, racks: true, store: store{objects: map[storedKey]client.Object{}}}
	four := int32(30)
	w.store.put(&v1alpha1.Network{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Generation: 1, Finalizers: []string{v1alpha1.FinalizerInUse}},
		Spec: v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeRackLocal,
			RackLocal: &v1alpha1.RackLocalSpec{
				PrefixLength: &v1alpha1.RackPrefixLength{IPv4: &four},
				Overlay:      &v1alpha1.RackOverlaySpec{VNIs: v1alpha1.VNIRange{First: 1, Last: 2}, Port: 4789},
			},
			IPAM: &v1alpha1.IPAMSpec{
				Ranges:     []v1alpha1.IPRange{{CIDR: "10.0.0.0/29"}},
				Quarantine: &metav1.Duration{Duration: time.Duration(rapid.SampledFrom([]int{0, 5, 60}).Draw(t, "quarantine")) * time.Second},
			}}})
	kind, rack := string(v1alpha1.DeviceKindOverlay), "published by the agent"
	for _, node := range []string{"node1", "node2"} {
		w.store.put(&resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourcev1.ResourceSliceSpec{
			Driver: v1alpha1.DriverName, NodeName: &node, Devices: []resourcev1.Device{{
				Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
					v1alpha1.DeviceAttributeKind: {StringValue: &kind}, v1alpha1.DeviceAttributeRack: {StringValue: &rack},
				}}}}})
	}
	w.start()
	return w
}

func (w *leadersWorld) rackActions(actions map[string]func(*rapid.T)) {
	for n := range 2 {
		actions[fmt.Sprint("move node ", n)] = func(t *rapid.T) {
			node := choose(t, "node", w.store.nodes()).DeepCopy()
			node.Labels = map[string]string{v1alpha1.DefaultTopologyKey: rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(t, "rack")}
			w.must(w.store.update(node))
		}
		for i := range w.operators {
			actions[fmt.Sprintf("network %d %d", i, n)] = func(*rapid.T) { _, _ = w.operators[i].reconcileNetwork() }
		}
	}
}

func (o *operatorProcess) reconcileNetwork() (ctrl.Result, error) {
	if !o.leads {
		return ctrl.Result{}, nil
	}
	result, err := o.networks.Reconcile(o.world.ctx, ctrl.Request{NamespacedName: types.NamespacedName{Name: "n"}})
	o.world.check()
	return result, err
}

// planPods is what other workers do while a status is on its way: they may see what its writer has not seen.
func (o *operatorProcess) planPods() {
	o.catchUp()
	for _, key := range slices.Clone(o.podQueue) {
		_ = o.reconcilePod(key)
	}
}

func (w *leadersWorld) network() *v1alpha1.Network {
	network, _ := w.store.objects[storedKey{"*v1alpha1.Network", types.NamespacedName{Name: "n"}}].(*v1alpha1.Network)
	return network
}

func (w *leadersWorld) checkRacks() {
	racks := map[string]v1alpha1.RackStatus{}
	for _, rack := range w.network().Status.Racks {
		racks[rack.Name] = rack
	}
	if err := apart(w.network().Status.Racks); err != nil {
		w.t.Fatal(err)
	}
	for _, pna := range w.store.attachments() {
		rack := racks[pna.Spec.RackLocal.Rack]
		prefix := netip.MustParsePrefix(addressList(*pna)).Masked().String()
		if len(rack.Prefixes) != 1 || rack.Prefixes[0] != prefix || rack.VNI != pna.Spec.RackLocal.Overlay.VNI {
			w.t.Fatalf("%s has %s in %+v, but the racks are %+v", pna.Name, addressList(*pna), pna.Spec.RackLocal.Overlay, racks)
		}
	}
}

// workOnRacks tells whether the Network is to be looked at again, which it is for as long as racks rest.
func (w *leadersWorld) workOnRacks(leader *operatorProcess) bool {
	if !w.racks {
		return false
	}
	result, err := leader.reconcileNetwork()
	w.must(err)
	pass(min(result.RequeueAfter, 2*time.Second))
	return result.RequeueAfter > 0
}

// checkRacksSettled: a pod without an attachment is in no rack, or in one that has nothing left.
func (w *leadersWorld) checkRacksSettled(leader *operatorProcess, perPod map[types.UID]int) {
	attachments, perRack := 0, map[string]int32{}
	for _, pna := range w.store.attachments() {
		attachments++
		perRack[pna.Spec.RackLocal.Rack]++
	}
	if usage := leader.allocator.Usage("n"); int(usage.Attachments) != attachments || usage.Reserved != 0 {
		w.t.Errorf("%d attachments, but the books say %+v", attachments, usage)
	}
	free := 2
	for _, rack := range w.network().Status.Racks {
		if free -= len(rack.Prefixes); rack.Attachments != perRack[rack.Name] || rack.Nodes+rack.Attachments == 0 {
			w.t.Errorf("%d attachments in %+v", perRack[rack.Name], rack)
		}
	}
	for _, pod := range w.store.pods() {
		if perPod[pod.UID] == 0 && pod.Spec.NodeName != "" {
			w.checkUnattached(pod, perRack, free)
		}
	}
}

func (w *leadersWorld) checkUnattached(pod *corev1.Pod, perRack map[string]int32, free int) {
	node := w.node(pod.Spec.NodeName)
	if node == nil || node.Labels[v1alpha1.DefaultTopologyKey] == "" {
		return
	}
	rack := node.Labels[v1alpha1.DefaultTopologyKey]
	for _, r := range w.network().Status.Racks {
		if r.Name == rack && len(r.Prefixes) == 1 && perRack[rack] < 2 || r.Name == rack && len(r.Prefixes) == 0 && free > 0 {
			w.t.Errorf("pod %s has no attachment in %+v", pod.Name, r)
		}
	}
}
