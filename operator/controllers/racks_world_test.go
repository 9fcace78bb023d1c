package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// rackNetwork has racks of 2 addresses on an overlay, and room for 4 of them.
func (w *world) rackNetwork(name string, changes ...edit) *v1alpha1.Network {
	w.t.Helper()
	four := int32(30)
	return w.network(name, append([]edit{func(n *v1alpha1.Network) {
		n.Spec.Type, n.Spec.Macvlan = v1alpha1.NetworkTypeRackLocal, nil
		n.Spec.RackLocal = &v1alpha1.RackLocalSpec{PrefixLength: &v1alpha1.RackPrefixLength{IPv4: &four}, Overlay: &v1alpha1.RackOverlaySpec{}}
	}, ranges("10.40.0.0/28")}, changes...)...)
}

func quarantine(d time.Duration) edit {
	return func(n *v1alpha1.Network) { n.Spec.IPAM.Quarantine = &metav1.Duration{Duration: d} }
}

func vnis(first, last int32) edit {
	return func(n *v1alpha1.Network) { n.Spec.RackLocal.Overlay.VNIs = v1alpha1.VNIRange{First: first, Last: last} }
}

// rackNode creates a node in a rack, with the slice of its agent.
func (w *world) rackNode(name, rack string) {
	w.t.Helper()
	err := w.Create(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	w.moveNode(name, rack)
	var node corev1.Node
	w.must(w.Get(w.ctx, types.NamespacedName{Name: name}, &node))
	before := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.7"}}
	w.must(w.Status().Patch(w.ctx, &node, client.MergeFrom(before)))
	kind := string(v1alpha1.DeviceKindOverlay)
	s := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-multinet"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: v1alpha1.DriverName, NodeName: &name, Pool: resourcev1.ResourcePool{Name: name, ResourceSliceCount: 1},
			Devices: []resourcev1.Device{{Name: "overlay", Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
				v1alpha1.DeviceAttributeKind: {StringValue: &kind},
				v1alpha1.DeviceAttributeRack: {StringValue: &rack},
				corev1.LabelHostname:         {StringValue: &name},
			}}},
		},
	}
	w.must(w.Create(w.ctx, s))
	w.t.Cleanup(func() { _ = w.Delete(context.Background(), s) })
}

// moveNode changes the label; "" takes it away.
func (w *world) moveNode(name, rack string) {
	w.t.Helper()
	var node corev1.Node
	w.must(w.Get(w.ctx, types.NamespacedName{Name: name}, &node))
	before := node.DeepCopy()
	delete(node.Labels, v1alpha1.DefaultTopologyKey)
	if rack != "" {
		metav1.SetMetaDataLabel(&node.ObjectMeta, v1alpha1.DefaultTopologyKey, rack)
	}
	w.must(w.Patch(w.ctx, &node, client.MergeFrom(before)))
}

// racksAre waits until exactly these racks are in the status and satisfy the check.
func (w *world) racksAre(network string, check func(v1alpha1.RackStatus) error, names ...string) map[string]v1alpha1.RackStatus {
	w.t.Helper()
	var found map[string]v1alpha1.RackStatus
	w.eventually(fmt.Sprintf("racks %v of network %s", names, network), func() error {
		var n v1alpha1.Network
		if err := w.Get(w.ctx, types.NamespacedName{Name: network}, &n); err != nil {
			return err
		}
		found = map[string]v1alpha1.RackStatus{}
		for _, rack := range n.Status.Racks {
			found[rack.Name] = rack
			if err := check(rack); err != nil {
				return fmt.Errorf("%w: %+v", err, rack)
			}
		}
		for _, name := range names {
			if _, ok := found[name]; !ok {
				return fmt.Errorf("status has racks %+v", n.Status.Racks)
			}
		}
		if len(found) != len(names) {
			return fmt.Errorf("status has racks %+v", n.Status.Racks)
		}
		return apart(n.Status.Racks)
	})
	return found
}

// apart tells racks that share a prefix or a VNI.
func apart(racks []v1alpha1.RackStatus) error {
	var all []netip.Prefix
	known := map[int32]bool{}
	for _, rack := range racks {
		if known[rack.VNI] && rack.VNI != 0 {
			return fmt.Errorf("VNI %d stands twice", rack.VNI)
		}
		known[rack.VNI] = true
		for _, text := range rack.Prefixes {
			prefix := netip.MustParsePrefix(text)
			if slices.ContainsFunc(all, prefix.Overlaps) {
				return fmt.Errorf("%s of %s overlaps", prefix, rack.Name)
			}
			all = append(all, prefix)
		}
	}
	return nil
}

func given(rack v1alpha1.RackStatus) error {
	if len(rack.Prefixes) != 1 || rack.VNI == 0 {
		return fmt.Errorf("a rack lacks something")
	}
	return nil
}

// inRack fails unless the attachment is there.
func (w *world) inRack(pna v1alpha1.PodNetworkAttachment, rack v1alpha1.RackStatus) {
	w.t.Helper()
	at := pna.Spec.RackLocal
	if at == nil || at.Rack != rack.Name || at.Overlay == nil || at.Overlay.VNI != rack.VNI || at.Overlay.NodeAddress != "192.0.2.7" || at.Overlay.Port != 4789 {
		w.t.Fatalf("attachment %+v is not in %+v", at, rack)
	}
	if address := netip.MustParsePrefix(addressList(pna)); address.Masked().String() != rack.Prefixes[0] {
		w.t.Fatalf("address %s is not of %+v", address, rack)
	}
}
