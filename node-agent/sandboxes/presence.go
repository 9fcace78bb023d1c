package sandboxes

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Records keep a value for each key over a restart of the agent, but not of the node, as ledger.Folder does.
type Records[T any] interface {
	Put(key string, value T) error
	Get(key string) (T, bool)
	All() []T
	Delete(key string) error
}

// Selected is what a pod selects, as far as it was prepared. It is written before the kubelet may make a sandbox, stays while a
// plan is exchanged for another, and goes with the pod's claims and sandboxes. A runtime that comes over CNI does not tell what a
// pod selects; and its plugin, where the agent is away, takes a pod of which there is none for one that selects nothing.
type Selected struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	PodUID    types.UID         `json:"podUID"`
	Networks  []SelectedNetwork `json:"networks,omitempty"`
}

// SelectedNetwork is one interface of a pod.
type SelectedNetwork struct {
	Network   string `json:"network"`
	Interface string `json:"interface"`
	// Claim is the UID of the ResourceClaim, Position its place among the pod's.
	Claim    types.UID `json:"claim"`
	Position int       `json:"position"`
}

// Present is a sandbox that may have interfaces of ours. It is written before the first of them is made, and before each that comes
// or has gone later. Over CNI there is one of every sandbox, since nobody lists those that may be given interfaces.
type Present struct {
	Sandbox Sandbox `json:"sandbox"`
	// Files are those of device-info that go with the sandbox.
	Files []string `json:"files,omitempty"`
}

// note records what a claim that is being prepared stands for.
func (k *Keeper) note(r Request, pna *v1alpha1.PodNetworkAttachment) error {
	k.selectedMu.Lock()
	defer k.selectedMu.Unlock()
	s, _ := k.Selected.Get(string(r.PodUID))
	s.Namespace, s.Name, s.PodUID = r.Namespace, r.PodName, r.PodUID
	n := SelectedNetwork{Network: pna.Spec.NetworkName, Interface: string(pna.Spec.Interface), Claim: r.Claim.UID, Position: r.Position}
	if slices.Contains(s.Networks, n) {
		return nil
	}
	s.Networks = append(slices.DeleteFunc(slices.Clone(s.Networks), func(o SelectedNetwork) bool { return o.Interface == n.Interface }), n)
	return k.Selected.Put(string(r.PodUID), s)
}

// Unprepared says that the kubelet needs claims no more. The sandboxes of their pods may still be there.
func (k *Keeper) Unprepared(claims []types.UID) {
	k.selectedMu.Lock()
	defer k.selectedMu.Unlock()
	for _, s := range k.Selected.All() {
		left := slices.DeleteFunc(slices.Clone(s.Networks), func(n SelectedNetwork) bool { return slices.Contains(claims, n.Claim) })
		if len(left) == len(s.Networks) {
			continue
		}
		s.Networks = left
		k.keepOrForget(s)
	}
	k.Wake()
}

// keepOrForget writes what is left of a pod's selection, or removes it where neither claims nor sandboxes are left.
func (k *Keeper) keepOrForget(s Selected) {
	var err error
	if len(s.Networks) > 0 || k.isPresent(s.PodUID) {
		err = k.Selected.Put(string(s.PodUID), s)
	} else {
		err = k.Selected.Delete(string(s.PodUID))
	}
	if err != nil {
		k.Log.Error(err, "record of the pod's selection", "pod", s.Namespace+"/"+s.Name, "podUID", s.PodUID)
	}
}

func (k *Keeper) isPresent(podUID types.UID) bool {
	return slices.ContainsFunc(k.Present.All(), func(p Present) bool { return p.Sandbox.PodUID == podUID })
}

// arrive records a sandbox that is about to get interfaces.
func (k *Keeper) arrive(sandbox Sandbox, attachments []plan.Attachment) error {
	p := Present{Sandbox: sandbox, Files: k.DeviceInfo.names(sandbox, attachments)}
	if known, ok := k.Present.Get(sandbox.ID); ok && reflect.DeepEqual(known, p) {
		return nil
	}
	if err := k.Present.Put(sandbox.ID, p); err != nil {
		return fmt.Errorf("record the sandbox: %w", err)
	}
	return nil
}

// depart removes what arrive has recorded, and the files of the sandbox's devices.
func (k *Keeper) depart(id string) {
	p, ok := k.Present.Get(id)
	if !ok {
		return
	}
	k.DeviceInfo.remove(k.ofNobodyElse(p))
	if err := k.Present.Delete(id); err != nil {
		k.Log.Error(err, "record of the sandbox", "pod", p.Sandbox.Namespace+"/"+p.Sandbox.Name, "id", id)
	}
	k.letGo(p.Sandbox.PodUID)
	k.selectedMu.Lock()
	defer k.selectedMu.Unlock()
	if s, ok := k.Selected.Get(string(p.Sandbox.PodUID)); ok && len(s.Networks) == 0 {
		k.keepOrForget(s)
	}
}

// ofNobodyElse are the files of a sandbox that no other has: a pod's next sandbox may have the device already.
func (k *Keeper) ofNobodyElse(p Present) []string {
	return slices.DeleteFunc(slices.Clone(p.Files), func(name string) bool {
		return slices.ContainsFunc(k.Present.All(), func(other Present) bool {
			return other.Sandbox.ID != p.Sandbox.ID && slices.Contains(other.Files, name)
		})
	})
}

// forget ends what is known of a sandbox.
func (k *Keeper) forget(id string) {
	k.state.remove(id)
	k.depart(id)
}

// SelectionOf is what a pod selects, written as its annotation, for a door whose runtime does not tell. It is what was prepared
// for the pod, what is planned, and what the operator has ordered, so that none of the three can be missing unseen. The order is
// that of the pod's claims, then of the interfaces. It reads nothing but memory.
func (k *Keeper) SelectionOf(podUID types.UID) string {
	prepared, _ := k.Selected.Get(string(podUID))
	networks := slices.Clone(prepared.Networks)
	add := func(network, iface string) {
		if !slices.ContainsFunc(networks, func(n SelectedNetwork) bool { return n.Interface == iface }) {
			networks = append(networks, SelectedNetwork{Network: network, Interface: iface, Position: len(prepared.Networks)})
		}
	}
	planned, _ := k.state.plan(podUID)
	for _, a := range planned.Attachments {
		add(a.Network, a.Interface)
	}
	for _, pna := range k.Attachments.ForPod(podUID) {
		if pna.DeletionTimestamp == nil && !pna.Spec.Detach {
			add(pna.Spec.NetworkName, string(pna.Spec.Interface))
		}
	}
	slices.SortStableFunc(networks, func(a, b SelectedNetwork) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(len(a.Interface), len(b.Interface)), cmp.Compare(a.Interface, b.Interface))
	})
	elements := make([]string, 0, len(networks))
	for _, n := range networks {
		elements = append(elements, n.Network+"@"+n.Interface)
	}
	return strings.Join(elements, ",")
}

// SelectsByName tells whether a pod of the name selects networks, for runtimes that do not tell its UID.
func (k *Keeper) SelectsByName(namespace, name string) bool {
	if slices.ContainsFunc(k.Selected.All(), func(s Selected) bool { return s.Namespace == namespace && s.Name == name }) {
		return true
	}
	return slices.ContainsFunc(k.Attachments.All(), func(pna *v1alpha1.PodNetworkAttachment) bool {
		return pna.Namespace == namespace && pna.Spec.Pod.Name == name
	})
}

// Restore takes over the sandboxes that an earlier process has recorded, for a door whose runtime lists none. It is called
// before the door is opened.
func (k *Keeper) Restore() {
	var alive []Sandbox
	for _, p := range k.Present.All() {
		if k.NamespaceLives(p.Sandbox.NetNS) {
			alive = append(alive, p.Sandbox)
		} else {
			k.depart(p.Sandbox.ID)
		}
	}
	k.state.replace(alive)
	k.Wake()
}

// Connected says that the runtime comes to the door, so that pods can be prepared for it.
func (k *Keeper) Connected() {
	k.state.connect()
	k.Wake()
}

// Find returns a sandbox that may have interfaces of ours.
func (k *Keeper) Find(id string) (Sandbox, bool) {
	p, ok := k.Present.Get(id)
	return p.Sandbox, ok
}

// Attached lists the sandboxes that came with a network configuration of the name and are attached by now. One that is being
// attached is left out: nobody can know of it yet.
func (k *Keeper) Attached(network string) (list []Sandbox) {
	for _, p := range k.Present.All() {
		_, phase := k.state.entry(p.Sandbox.ID)
		if p.Sandbox.Network == network && phase != attaching {
			list = append(list, p.Sandbox)
		}
	}
	return list
}

// Health tells whether sandboxes can be attached, and how many of those that are there lack something.
func (k *Keeper) Health() (connected bool, lacking int) {
	k.state.mu.Lock()
	defer k.state.mu.Unlock()
	for _, e := range k.state.entries {
		if e.phase == broken {
			lacking++
		}
	}
	return isClosed(k.state.synchronized), lacking
}

// adopt makes the records that were there before those of the sandboxes that the runtime has listed.
func (k *Keeper) adopt(alive []Sandbox, before []Present) {
	listed := map[string]bool{}
	for _, sandbox := range alive {
		listed[sandbox.ID] = true
		if _, known := k.Present.Get(sandbox.ID); known || sandbox.selectsNothing() {
			continue
		}
		planned, _ := k.state.plan(sandbox.PodUID)
		if err := k.arrive(sandbox, planned.Attachments); err != nil {
			k.Log.Error(err, "a sandbox that was here before", "pod", sandbox.Namespace+"/"+sandbox.Name)
		}
	}
	for _, p := range before {
		if !listed[p.Sandbox.ID] {
			k.depart(p.Sandbox.ID)
		}
	}
}
