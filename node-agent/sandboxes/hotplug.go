package sandboxes

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// follow brings a sandbox that was acquired to the orders of its pod, which was edited: what it has no order for goes, and what is
// ordered comes. Each interface is for itself. One that cannot be had is reported and tried again with the next look; the
// pod keeps the others, and its containers may start.
//
// The order of an interface that comes is: plan, probe, record what the sandbox is to have, attach. Of one that goes: links,
// record, and then the loop drops the plan and lets the finalizer go. An agent that is killed in between does the rest.
func (k *Keeper) follow(ctx context.Context, e *entry) {
	if !k.Attachments.Listed() {
		return // the loop comes again when it is
	}
	var orders []order
	byUID := map[types.UID]*v1alpha1.PodNetworkAttachment{}
	for _, pna := range k.Attachments.ForPod(e.PodUID) {
		orders = append(orders, orderOf(pna))
		byUID[pna.UID] = pna
	}
	off, on := k.state.follow(e, orders)
	if len(off)+len(on) == 0 {
		return
	}
	var lacks []publish.Interface
	note := func(pna *v1alpha1.PodNetworkAttachment, err error) {
		if err != nil {
			k.Log.Info("running pod", "pod", e.Namespace+"/"+e.Name, "podUID", e.PodUID, "interface", pna.Spec.Interface, "cause", err.Error())
			lacks = append(lacks, k.lacking(pna, err))
		}
	}
	for _, o := range off {
		note(byUID[o.UID], k.unplug(ctx, e, byUID[o.UID]))
	}
	for _, o := range on {
		note(byUID[o.UID], k.plug(ctx, e, byUID[o.UID]))
	}
	k.state.setLacks(e, lacks)
	if made := k.state.made(e); made != nil {
		if _, err := k.Files.Write(e.PodUID, made); err != nil {
			k.Log.Error(err, "networks.json", "pod", e.Namespace+"/"+e.Name)
		}
	}
}

// plug gives a sandbox one more interface.
func (k *Keeper) plug(ctx context.Context, e *entry, pna *v1alpha1.PodNetworkAttachment) error {
	if err := k.replanOne(ctx, pna); err != nil {
		return err
	}
	attachment, planned := k.state.attachment(planned{e.PodUID, pna.Name})
	if !planned {
		return fmt.Errorf("network %q interface %s: the plan was dropped", pna.Spec.NetworkName, pna.Spec.Interface)
	}
	if err := k.probed(ctx, e.PodUID, []plan.Attachment{attachment}); err != nil {
		return err
	}
	before := k.state.sandbox(e)
	if err := k.enter(e, before.with(attachment.Network, attachment.Interface)); err != nil {
		return err
	}
	selections, err := k.state.selections(e)
	if err != nil {
		return err
	}
	attachments, missing := k.state.planned(e.PodUID, selections)
	if len(missing) > 0 {
		return notPlannedError(missing[0])
	}
	made, err := k.attach(ctx, e, attachments)
	if err != nil {
		if undo := k.enter(e, before); undo != nil {
			k.Log.Error(undo, "a sandbox that did not get an interface", "pod", e.Namespace+"/"+e.Name)
		}
		return err
	}
	k.state.setMadeOf(e, made)
	if err := k.Path.Announce(k.base, e.NetNS, offOverlays([]plan.Attachment{attachment})); err != nil {
		k.Log.Info("addresses were not announced", "pod", e.Namespace+"/"+e.Name, "cause", err.Error())
	}
	return nil
}

// unplug takes one interface away from a sandbox. Where its plan is lost the mark of the link tells that it is ours.
func (k *Keeper) unplug(ctx context.Context, e *entry, pna *v1alpha1.PodNetworkAttachment) error {
	attachment, planned := k.state.attachment(planned{e.PodUID, pna.Name})
	if !planned {
		attachment = plan.Attachment{Name: pna.Name, Network: pna.Spec.NetworkName, Interface: string(pna.Spec.Interface)}
	}
	if err := k.removeLinks(ctx, e, []plan.Attachment{attachment}); err != nil && k.NamespaceLives(e.NetNS) {
		return err
	}
	if err := k.enter(e, k.state.sandbox(e).without(attachment.Interface)); err != nil {
		return err
	}
	k.DeviceInfo.remove(k.DeviceInfo.names(e.Sandbox, []plan.Attachment{attachment}))
	k.unnote(e.PodUID, attachment.Interface)
	k.state.setOff(e, attachment)
	return nil
}

// enter records what a sandbox is to have, before anybody acts upon it.
func (k *Keeper) enter(e *entry, sandbox Sandbox) error {
	selections, err := sandbox.selections()
	if err != nil {
		return err
	}
	attachments, _ := k.state.planned(e.PodUID, selections)
	if err := k.arrive(sandbox, attachments); err != nil {
		return err
	}
	k.state.setSandbox(e, sandbox)
	return nil
}

// lacking is what is told of an interface that is not as ordered.
func (k *Keeper) lacking(pna *v1alpha1.PodNetworkAttachment, err error) publish.Interface {
	attachment, planned := k.state.attachment(planned{pna.Spec.Pod.UID, pna.Name})
	if !planned {
		attachment = plan.Attachment{Name: pna.Name, Network: pna.Spec.NetworkName, Interface: string(pna.Spec.Interface)}
	}
	return failed(Sandbox{}, []plan.Attachment{attachment}, err).Interfaces[0]
}

// ends tells whether an order of the pod is about to go.
func (k *Keeper) ends(podUID types.UID) bool {
	return slices.ContainsFunc(k.Attachments.ForPod(podUID), func(pna *v1alpha1.PodNetworkAttachment) bool { return pna.DeletionTimestamp != nil })
}

// unnote takes an interface out of what the pod selects, for the door whose runtime does not tell.
func (k *Keeper) unnote(podUID types.UID, iface string) {
	k.selectedMu.Lock()
	defer k.selectedMu.Unlock()
	s, ok := k.Selected.Get(string(podUID))
	if !ok {
		return
	}
	s.Networks = slices.DeleteFunc(slices.Clone(s.Networks), func(n SelectedNetwork) bool { return n.Interface == iface })
	k.keepOrForget(s)
}

// follow returns the changes that a sandbox is to follow, and notes that they are tried.
func (s *state) follow(e *entry, orders []order) (off, on []order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	off, on = held{PodUID: e.PodUID, Interfaces: e.interfaces()}.changed(orders)
	e.tried, e.lacks = changesOf(off, on), nil
	return off, on
}

// selections are what a sandbox is to have now.
func (s *state) selections(e *entry) ([]selection.Selection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.now.selections()
}

func (s *state) sandbox(e *entry) Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.now
}

func (s *state) setSandbox(e *entry, sandbox Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.now = sandbox
}

// wasChanged tells whether the sandbox has something else than it was made with, or should have.
func (s *state) wasChanged(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(e.now.With)+len(e.now.Without)+len(e.lacks) > 0
}

// setMadeOf is setMade for a sandbox that is worked on still.
func (s *state) setMadeOf(e *entry, made []publish.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.made = made
}

// setOff takes an interface out of what was made, and notes that its claim carries nothing.
func (s *state) setOff(e *entry, gone plan.Attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.made = slices.DeleteFunc(slices.Clone(e.made), func(i publish.Interface) bool { return i.Plan.Name == gone.Name })
	if gone.Claim != nil {
		e.released = append(e.released, *gone.Claim)
	}
}

func (s *state) setLacks(e *entry, lacks []publish.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.lacks = lacks
}

func (s *state) lacks(e *entry) []publish.Interface {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.lacks
}

// emptied are the claims of interfaces that went whose devices carry nothing now.
func (s *state) emptied(e *entry) (claims []plan.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, claim := range e.released {
		carries := func(i publish.Interface) bool { return i.Plan.Claim != nil && i.Plan.Claim.UID == claim.UID }
		if !slices.ContainsFunc(e.made, carries) {
			claims = append(claims, claim)
		}
	}
	return claims
}
