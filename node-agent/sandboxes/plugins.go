package sandboxes

import (
	"context"
	"errors"
	"time"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// pruneLimit ends one look at what plugins have made for sandboxes that are no more.
const pruneLimit = time.Minute

// byPath takes apart what the attach path makes, and what CNI plugins do. The order stays.
func byPath(attachments []plan.Attachment) (native, delegated []plan.Attachment) {
	for _, a := range attachments {
		if a.CNI == nil {
			native = append(native, a)
		} else {
			delegated = append(delegated, a)
		}
	}
	return native, delegated
}

// attachAll makes all interfaces of a sandbox, or none that was not there. Plugins come first: what they have made is taken away by
// them again, and what the attach path has made undoes itself.
func (k *Keeper) attachAll(ctx context.Context, e *entry, attachments []plan.Attachment) ([]publish.Interface, error) {
	native, delegated := byPath(attachments)
	byName := map[string]publish.Interface{}
	var added []plan.Attachment
	undo := func(err error) error {
		for _, a := range added {
			err = errors.Join(err, k.Plugins.Del(context.WithoutCancel(ctx), e.Sandbox, a))
		}
		return err
	}
	for _, a := range delegated {
		made, isNew, err := k.Plugins.Add(ctx, e.Sandbox, a)
		if err != nil {
			return nil, undo(err)
		}
		if isNew {
			added = append(added, a)
		}
		byName[a.Name] = made
	}
	results, err := k.Path.Attach(ctx, e.NetNS, native)
	if err != nil {
		return nil, undo(err)
	}
	for _, made := range madeOf(native, results) {
		byName[made.Plan.Name] = made
	}
	all := make([]publish.Interface, 0, len(attachments))
	for _, a := range attachments {
		all = append(all, byName[a.Name])
	}
	return all, nil
}

// check looks into the kernel, and starts no process.
func (k *Keeper) check(ctx context.Context, e *entry, attachments []plan.Attachment) error {
	native, delegated := byPath(attachments)
	wrong := []error{k.Path.Check(ctx, e.NetNS, native)}
	for _, a := range delegated {
		wrong = append(wrong, k.Plugins.Look(ctx, e.Sandbox, a))
	}
	return errors.Join(wrong...)
}

func (k *Keeper) checkByPlugins(ctx context.Context, e *entry, attachments []plan.Attachment) error {
	_, delegated := byPath(attachments)
	var wrong []error
	for _, a := range delegated {
		wrong = append(wrong, k.Plugins.Check(ctx, e.Sandbox, a))
	}
	return errors.Join(wrong...)
}

// removeByPlugins comes while the namespace is there, which some plugins need. What fails is tried again when the sandbox is no more.
func (k *Keeper) removeByPlugins(ctx context.Context, e *entry, attachments []plan.Attachment) {
	_, delegated := byPath(attachments)
	for _, a := range delegated {
		if err := k.Plugins.Del(ctx, e.Sandbox, a); err != nil {
			k.Log.Info("CNI plugins are asked again when the sandbox is gone", "pod", e.Namespace+"/"+e.Name, "cause", err.Error())
		}
	}
}

// prunePlugins takes away what plugins have made for sandboxes that are gone, whichever way they went and whichever process made it.
func (k *Keeper) prunePlugins() {
	if !k.pruning.TryLock() {
		return // the next wake or tick finds what is left
	}
	defer k.pruning.Unlock()
	ctx, cancel := context.WithTimeout(k.base, pruneLimit)
	defer cancel()
	if err := k.Plugins.Prune(ctx, k.state.lives); err != nil && k.base.Err() == nil {
		k.Log.Info("CNI plugins have left something of former sandboxes", "cause", err.Error())
	}
}

// lives tells whether a sandbox may be in use: all may while the runtime has not listed those that are there.
func (s *state) lives(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	return !isClosed(s.synchronized) || e != nil && e.phase.holds()
}
