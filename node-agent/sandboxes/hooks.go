package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// checkWait is how long a container's creation waits for a verification of its sandbox that is under way. It is
// short because all hooks of a node share one lock in the runtime.
const checkWait = 250 * time.Millisecond

// RunSandbox attaches a new sandbox to the networks that it selects, or to none of them and returns an error.
func (k *Keeper) RunSandbox(ctx context.Context, sandbox Sandbox) error {
	sandbox, selections, err := k.due(sandbox)
	if err == nil && len(selections) == 0 {
		k.passBy(sandbox)
	}
	if err != nil || len(selections) == 0 {
		return err
	}
	if sandbox.NetNS == "" {
		return errors.New("a pod on the host's network cannot select networks: remove hostNetwork or the annotation")
	}
	ctx, cancel := k.Door.within(ctx)
	defer cancel()
	e := k.state.hold(sandbox)
	made, attachments, err := k.run(ctx, e, selections)
	if err != nil {
		go k.Publisher.Publish(failed(sandbox, attachments, err))
		return err
	}
	if k.Door == DoorCNI {
		k.guard(e, attachments)
		e.release()
		go k.tell(e, attachments, made)
		return nil
	}
	k.state.setGuarding(e, true)
	go func() {
		k.guard(e, attachments)
		k.state.setGuarding(e, false)
		e.release()
		k.tell(e, attachments, made)
	}()
	return nil
}

// guard has the links of a sandbox that is attached and acquired held to their classes. Over NRI a hook does not wait for it, since
// every pod of the node would: containers of the sandbox do.
func (k *Keeper) guard(e *entry, attachments []plan.Attachment) {
	if err := k.Path.Guard(k.base, e.NetNS, attachments); err != nil && k.NamespaceLives(e.NetNS) {
		k.Log.Error(err, "classes are not enforced on the pod's links", "pod", e.Namespace+"/"+e.Name)
	}
}

func (k *Keeper) run(ctx context.Context, e *entry, selections []selection.Selection) ([]publish.Interface, []plan.Attachment, error) {
	attachments, missing := k.state.planned(e.PodUID, selections)
	if len(missing) > 0 {
		k.state.remove(e.ID)
		go k.replan(e.Sandbox) // for the runtime's next try, in ten seconds or so
		return nil, attachments, notPlannedError(missing[0])
	}
	if err := unrecorded(attachments); err != nil {
		k.state.remove(e.ID)
		go k.replan(e.Sandbox)
		return nil, attachments, err
	}
	if err := k.going(e, attachments); err != nil {
		k.state.remove(e.ID)
		return nil, attachments, err
	}
	begin := time.Now()
	if err := k.ready(ctx, e, attachments); err != nil {
		k.state.remove(e.ID)
		return nil, attachments, err
	}
	made, err := k.attachWithin(attach.WithPatience(ctx, k.Door.wait()-time.Since(begin)), e, attachments)
	return made, attachments, err
}

// ready waits until the attach can begin, and acquires the sandbox for it.
func (k *Keeper) ready(ctx context.Context, e *entry, attachments []plan.Attachment) error {
	ctx, cancel := context.WithTimeout(ctx, k.Door.wait())
	defer cancel()
	if err := k.probed(ctx, e.PodUID, attachments); err != nil {
		return err
	}
	if err := k.cleared(ctx, e.PodUID); err != nil {
		return err
	}
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("other work on the sandbox has not ended: %w", err)
	}
	return nil
}

func notPlannedError(s selection.Selection) error {
	return fmt.Errorf("%s interface %s: no plan: the node agent knows no PodNetworkAttachment for it yet; see the pod's events", s, s.Interface)
}

// attachWithin attaches a sandbox that was acquired, and gives up when ctx ends even if the kernel does not answer. What the kernel then
// still makes is taken away again; the sandbox holds until that is done. One that is attached stays acquired.
func (k *Keeper) attachWithin(ctx context.Context, e *entry, attachments []plan.Attachment) ([]publish.Interface, error) {
	type outcome struct {
		made []publish.Interface
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		made, err := k.attachLinks(ctx, e, attachments)
		done <- outcome{made, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			e.release()
			k.forget(e.ID)
			go k.readyAgain(e.PodUID, attachments) // for the runtime's next try
			return nil, o.err
		}
		k.state.setMade(e, o.made)
		return o.made, nil
	case <-ctx.Done():
		go func() {
			defer e.release()
			if o := <-done; o.err == nil {
				k.detach(context.WithoutCancel(ctx), e, attachments)
			}
			k.forget(e.ID)
			go k.readyAgain(e.PodUID, attachments)
		}()
		return nil, fmt.Errorf("the kernel has not attached the interfaces in time: %w", ctx.Err())
	}
}

// tell does what follows an attach and needs not hold up the pod.
func (k *Keeper) tell(e *entry, attachments []plan.Attachment, made []publish.Interface) {
	native, _ := byPath(attachments)
	if err := k.Path.Announce(k.base, e.NetNS, offOverlays(native)); err != nil {
		k.Log.Info("addresses were not announced", "pod", e.Namespace+"/"+e.Name, "cause", err.Error())
	}
	k.publish(e, made)
}

// CheckSandbox returns what a container of the pod gets if its sandbox is attached. One that is not known is attached late: its hook
// has failed, and the runtime has gone on without hearing so, as it does where a hook takes longer than it waits.
func (k *Keeper) CheckSandbox(ctx context.Context, sandbox Sandbox) (Container, error) {
	e, phase := k.state.entry(sandbox.ID)
	if selections, err := sandbox.selections(); e == nil && (err != nil || len(selections) == 0) {
		return Container{}, err
	}
	if e != nil && (phase != attached || k.state.guarding(e)) {
		waiting, cancel := context.WithTimeout(ctx, checkWait)
		defer cancel()
		if e.acquire(waiting) == nil {
			e.release()
		}
		e, phase = k.state.entry(sandbox.ID)
	}
	if e == nil || phase != attached {
		k.state.find(sandbox)
		k.Wake()
		return Container{}, fmt.Errorf("the pod is not attached to its networks yet: see its condition %s and its PodNetworkAttachments", "multinet.dev/attached")
	}
	made := k.madeOrPlanned(e)
	container, err := k.containerOf(made)
	if err != nil || len(made) == 0 {
		return Container{}, err
	}
	container.NetworksFile, err = k.Files.Write(e.PodUID, made)
	return container, err
}

// StopSandbox takes the addresses away, which frees them, and the links a little later. It never fails: the
// runtime goes on with the teardown in any case, and the namespace's end is the end of what is in it.
func (k *Keeper) StopSandbox(ctx context.Context, sandbox Sandbox) {
	e, phase := k.state.entry(sandbox.ID)
	if e == nil && k.passed(sandbox) {
		return
	}
	// The runtime stops what it could not start as well, and tries again.
	failed := e == nil || phase == attaching
	if e == nil {
		e = newEntry(sandbox, found)
	}
	if e.NetNS == "" {
		e.NetNS = sandbox.NetNS
	}
	waiting, cancel := context.WithTimeout(ctx, k.Door.wait())
	defer cancel()
	if err := e.acquire(waiting); err != nil {
		k.Log.Info("sandbox is stopped when the work on it has ended", "pod", e.Namespace+"/"+e.Name)
		go func() {
			if e.acquire(k.base) == nil {
				k.stop(k.base, e, failed)
			}
		}()
		return // it holds until then
	}
	k.stop(ctx, e, failed)
}

// stop empties a sandbox that was acquired, and releases it. One that failed leaves the pod ready for the next.
func (k *Keeper) stop(ctx context.Context, e *entry, failed bool) {
	ctx, cancel := k.Door.within(ctx)
	defer cancel()
	pod, planned := k.state.plan(e.PodUID)
	if !planned || e.NetNS == "" || !k.NamespaceLives(e.NetNS) {
		defer e.release()
		k.stopped(e)
		return
	}
	err := k.releaseAddresses(ctx, e, pod.Attachments)
	k.removeByPlugins(ctx, e, pod.Attachments)
	k.returnNICs(ctx, e, pod.Attachments)
	if err != nil {
		k.Log.Error(err, "addresses stay until the sandbox is removed", "pod", e.Namespace+"/"+e.Name)
	} else {
		k.stopped(e)
	}
	clearing := k.state.clear(e.PodUID)
	go func() {
		if err := k.removeLast(e, pod.Attachments); err != nil && k.NamespaceLives(e.NetNS) {
			k.Log.Info("links stay until their namespace ends", "pod", e.Namespace+"/"+e.Name, "cause", err.Error())
		}
		k.state.clearedAll(e.PodUID, clearing)
		e.release()
		if failed {
			k.readyAgain(e.PodUID, pod.Attachments)
		}
	}()
}

// attach does the kernel work of a sandbox that was acquired.
func (k *Keeper) attach(ctx context.Context, e *entry, attachments []plan.Attachment) ([]publish.Interface, error) {
	made, err := k.attachLinks(ctx, e, attachments)
	if err == nil {
		k.guard(e, attachments)
	}
	return made, err
}

// attachLinks is attach for a hook, after which guard is to come. It writes what others read of the devices. That the sandbox is
// there is recorded first: an agent that is killed after it finds the interfaces again.
func (k *Keeper) attachLinks(ctx context.Context, e *entry, attachments []plan.Attachment) ([]publish.Interface, error) {
	defer k.used(e.PodUID, attachments)
	if err := k.arrive(k.state.sandbox(e), attachments); err != nil {
		return nil, err
	}
	unlock, err := k.lentLocks.lock(ctx, attachments...)
	if err != nil {
		return nil, err
	}
	defer unlock()
	defer k.removals.first()()
	made, err := k.attachAll(ctx, e, attachments)
	if err == nil {
		k.tellDevices(e.Sandbox, attachments)
	}
	return made, err
}

func (k *Keeper) releaseAddresses(ctx context.Context, e *entry, attachments []plan.Attachment) error {
	defer k.removals.first()()
	return k.Path.ReleaseAddresses(ctx, e.NetNS, attachments)
}

// returnNICs takes NICs that are no hardware out of a sandbox before its namespace ends, and they with it. Drivers of others may take
// longer than a hook has, and the kernel brings those home by itself. One that does not come back is tried again with the links.
func (k *Keeper) returnNICs(ctx context.Context, e *entry, attachments []plan.Attachment) {
	nics := slices.DeleteFunc(slices.Clone(attachments), func(a plan.Attachment) bool { return a.HostDevice == nil || a.Device.Driver != "" })
	if len(nics) == 0 {
		return
	}
	unlock, err := k.lentLocks.lock(ctx, nics...)
	if err == nil {
		defer unlock()
		err = k.Path.GiveBack(ctx, e.NetNS, nics)
	}
	if err != nil {
		k.Log.Error(err, "a NIC has not come back from a sandbox that stops", "pod", e.Namespace+"/"+e.Name)
	}
}

// removeLast removes links after what somebody waits for. The release of VFs takes seconds and has a lock of its own.
func (k *Keeper) removeLast(e *entry, attachments []plan.Attachment) error {
	if !slices.ContainsFunc(attachments, func(a plan.Attachment) bool { return a.Lent() != "" }) {
		defer k.removals.last()()
	}
	return k.removeLinks(k.base, e, attachments)
}

func (k *Keeper) detach(ctx context.Context, e *entry, attachments []plan.Attachment) {
	if err := k.removeLinks(ctx, e, attachments); err != nil && k.NamespaceLives(e.NetNS) {
		k.Log.Error(err, "remove late links", "pod", e.Namespace+"/"+e.Name)
	}
}

// removeLinks gives VFs and NICs back too. One that does not come back clean is tried again when its plan is dropped.
func (k *Keeper) removeLinks(ctx context.Context, e *entry, attachments []plan.Attachment) error {
	unlock, err := k.lentLocks.lock(ctx, attachments...)
	if err != nil {
		return err
	}
	defer unlock()
	k.removeByPlugins(ctx, e, attachments)
	return k.Path.RemoveLinks(ctx, e.NetNS, attachments)
}

func (k *Keeper) stopped(e *entry) {
	k.state.setPhase(e, stopped)
	k.depart(e.ID)
	k.Wake()
}

// RemoveSandbox forgets a sandbox.
func (k *Keeper) RemoveSandbox(id string) {
	if k.state.removeBystander(id) {
		return
	}
	k.forget(id)
	k.Wake()
}

// Synchronize takes over the runtime's list of sandboxes, and returns at once. What they have got and lost since they were made
// the runtime does not know. Sandboxes whose namespace is gone hold nothing.
func (k *Keeper) Synchronize(list []Sandbox) {
	alive := make([]Sandbox, 0, len(list))
	for _, sandbox := range list {
		if sandbox.NetNS != "" && k.NamespaceLives(sandbox.NetNS) {
			if known, ok := k.Present.Get(sandbox.ID); ok {
				sandbox.Without, sandbox.With = known.Sandbox.Without, known.Sandbox.With
			}
			alive = append(alive, sandbox)
		}
	}
	k.state.replace(alive)
	k.state.connect()
	go k.adopt(alive, k.Present.All())
	k.Wake()
}

// Disconnected says that sandboxes may now come and go unseen.
func (k *Keeper) Disconnected() { k.state.disconnect() }

func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *entry) release() { <-e.busy }
