package cnitest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

const (
	namespace    = "ns"
	uplinkDevice = "uplink-eth1"
	// Uplink is the interface of the node that carries all networks.
	Uplink = "eth1"
)

// Orders are the PodNetworkAttachments of the node, in memory. Each gets addresses of both families, and net1 a route.
type Orders struct {
	mu    sync.Mutex
	made  int
	all   map[string]*v1alpha1.PodNetworkAttachment
	woken func()
}

func newOrders() *Orders {
	return &Orders{all: map[string]*v1alpha1.PodNetworkAttachment{}, woken: func() {}}
}

func (o *Orders) wake(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.woken = f
}

func (o *Orders) add(podUID types.UID, network, iface, claim string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made++
	high, low := byte(o.made>>8), byte(o.made)
	name := string(podUID) + "-" + iface
	var routes []v1alpha1.Route // one way to a place
	if iface == "net1" {
		routes = []v1alpha1.Route{{To: "10.99.0.0/16", Via: "10.20.255.254"}}
	}
	o.all[name] = &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod: v1alpha1.PodReference{Name: string(podUID), UID: podUID}, NetworkName: network, NodeName: "node",
			Interface: v1alpha1.InterfaceName(iface), PodClaimName: claim, Type: v1alpha1.NetworkTypeMacvlan, Macvlan: &v1alpha1.MacvlanSpec{},
			MAC: fmt.Sprintf("02:00:00:01:%02x:%02x", high, low),
			Addresses: []v1alpha1.AttachmentAddress{
				{Address: fmt.Sprintf("10.20.%d.%d/16", high, low)}, {Address: fmt.Sprintf("fd00:20::%x/64", o.made)},
			},
			Routes: routes,
		},
	}
}

// Remove ends the orders of a pod, and returns the UIDs of its claims.
func (o *Orders) Remove(podUID types.UID) (claims []types.UID) {
	o.mu.Lock()
	maps.DeleteFunc(o.all, func(_ string, pna *v1alpha1.PodNetworkAttachment) bool {
		if pna.Spec.Pod.UID == podUID {
			claims = append(claims, types.UID(string(podUID)+pna.Spec.NetworkName))
		}
		return pna.Spec.Pod.UID == podUID
	})
	woken := o.woken
	o.mu.Unlock()
	woken()
	return claims
}

// Listed is always true: nothing has to come from anywhere.
func (o *Orders) Listed() bool { return true }

// WaitListed does not wait.
func (o *Orders) WaitListed(context.Context) {}

// All orders.
func (o *Orders) All() []*v1alpha1.PodNetworkAttachment {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.all))
}

// ForPod returns those of one pod.
func (o *Orders) ForPod(uid types.UID) (list []*v1alpha1.PodNetworkAttachment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, pna := range o.all {
		if pna.Spec.Pod.UID == uid {
			list = append(list, pna)
		}
	}
	return list
}

// WaitFor returns an order that is there.
func (o *Orders) WaitFor(_ context.Context, podUID types.UID, podClaimName, _ string) (*v1alpha1.PodNetworkAttachment, error) {
	for _, pna := range o.ForPod(podUID) {
		if pna.Spec.PodClaimName == podClaimName {
			return pna, nil
		}
	}
	return nil, fmt.Errorf("pod %s has no order for claim %s", podUID, podClaimName)
}

// uplinks is the one NIC.
type uplinks struct{}

func (uplinks) Device(name string) (plan.Device, bool) {
	return plan.Device{Name: uplinkDevice, Uplink: Uplink}, name == uplinkDevice
}
func (u uplinks) Select(v1alpha1.UplinkSelector) (plan.Device, bool) { return u.Device(uplinkDevice) }
func (uplinks) Overlay() (plan.Device, bool)                         { return plan.Device{}, false }
func (uplinks) VFs() []plan.Device                                   { return nil }
func (uplinks) Carrier(plan.Device) bool                             { return true }
func (uplinks) SetDirty(string, string) bool                         { return false }

// none has no overlays, no classes, and nobody to tell.
type none struct{}

func (none) Start([]plan.Overlay)                              {}
func (none) Ensure(context.Context, plan.Overlay) error        { return nil }
func (none) Keep(func() (overlays []plan.Overlay, known bool)) {}
func (none) Apply([]plan.Attachment, bool) (more bool)         { return false }
func (none) IDs(context.Context, plan.Pod, string) ([]string, error) {
	return nil, errors.New("no devices here")
}
func (none) Report(plan.Attachment) plan.QoSReport { return plan.QoSReport{} }
func (none) Publish(publish.Report)                {}
func (none) Release(string, string, types.UID)     {}
func (none) Forget(types.UID)                      {}
func (none) Edited(context.Context, string, string, types.UID) (bool, error) {
	return false, nil
}
func (none) Prune(context.Context, func(string) bool) error { return nil }
func (none) Add(context.Context, sandboxes.Sandbox, plan.Attachment) (publish.Interface, bool, error) {
	return publish.Interface{}, false, errors.New("no CNI plugins here")
}
func (none) Made(sandboxes.Sandbox, plan.Attachment) (publish.Interface, bool) {
	return publish.Interface{}, false
}
func (none) Look(context.Context, sandboxes.Sandbox, plan.Attachment) error  { return nil }
func (none) Check(context.Context, sandboxes.Sandbox, plan.Attachment) error { return nil }
func (none) Del(context.Context, sandboxes.Sandbox, plan.Attachment) error   { return nil }
func (none) ForPod(_ context.Context, _, _ string, uid types.UID, claim, _ string) (*plan.Claim, error) {
	return &plan.Claim{Name: claim, UID: types.UID(string(uid) + claim), Device: uplinkDevice}, nil
}
