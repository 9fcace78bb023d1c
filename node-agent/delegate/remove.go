package delegate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

const (
	// pruneAgain is the pause before what could not be taken away is tried again. It doubles each time, up to pruneAtLast.
	pruneAgain  = 10 * time.Second
	pruneAtLast = 5 * time.Minute
	// attemptsToUndo is how often plugins are asked to take away what they have never said to have made. A configuration that they do
	// not understand fails here too, and comes with each sandbox of its pod.
	attemptsToUndo = 4
	// pruneAtOnce is for how many interfaces plugins run at a time when sandboxes are no more.
	pruneAtOnce = 4
)

// Del takes an interface away. It is no error that there is none.
func (p *Plugins) Del(ctx context.Context, sandbox sandboxes.Sandbox, a plan.Attachment) error {
	key := keyOf(sandbox.ID, a.Interface)
	release, err := p.take(ctx, key)
	if err != nil {
		return problem(a, err)
	}
	defer release()
	r, ok := p.Records.Get(key)
	if !ok {
		return nil
	}
	if err := p.del(ctx, r); err != nil {
		return problem(a, err)
	}
	return nil
}

// del has plugins take away what a record tells of, and forgets it. A namespace that is gone has taken the interface along, but not what
// plugins keep elsewhere.
func (p *Plugins) del(ctx context.Context, r Record) error {
	list, _, err := parse(r.CNI)
	if err != nil {
		return err
	}
	arguments := p.arguments(r)
	if !p.NamespaceLives(r.Sandbox.NetNS) {
		arguments.NetNS = ""
	}
	if err := p.cni.DelNetworkList(ctx, list, arguments); err != nil {
		return err
	}
	return p.Records.Delete(r.key())
}

// Prune takes away what was made for sandboxes that are no more. The error joins those of all interfaces that stay.
func (p *Plugins) Prune(ctx context.Context, lives func(sandboxID string) bool) error {
	var group errgroup.Group
	group.SetLimit(pruneAtOnce)
	records := p.Records.All()
	failed := make([]error, len(records))
	for i, r := range records {
		if !lives(r.Sandbox.ID) && p.due(r.key(), time.Now()) {
			group.Go(func() error { failed[i] = p.prune(ctx, r); return nil })
		}
	}
	_ = group.Wait()
	return errors.Join(failed...)
}

// attempts are those of Prune to take one interface away.
type attempts struct {
	made int
	next time.Time
}

// due tells whether a record may be tried now, and puts the next try off.
func (p *Plugins) due(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.again[key]
	if now.Before(a.next) {
		return false
	}
	a.next = now.Add(min(pruneAgain<<min(a.made, 10), pruneAtLast))
	a.made++
	p.again[key] = a
	return true
}

func (p *Plugins) tried(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.again[key].made
}

func (p *Plugins) prune(ctx context.Context, r Record) error {
	ctx, cancel := context.WithTimeout(ctx, delLimit)
	defer cancel()
	err := p.Del(ctx, r.Sandbox, plan.Attachment{Network: r.Network, Interface: r.Interface})
	if err != nil {
		err = fmt.Errorf("pod %s/%s: %w", r.Sandbox.Namespace, r.Sandbox.Name, err)
	}
	if err != nil && r.Made == nil && p.tried(r.key()) >= attemptsToUndo {
		err = errors.Join(fmt.Errorf("given up: %w", err), p.Records.Delete(r.key()))
	} else if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.again, r.key())
	return err
}

// Look compares an interface with what was made: it is there, with all addresses. No plugin is run.
func (p *Plugins) Look(_ context.Context, sandbox sandboxes.Sandbox, a plan.Attachment) error {
	r, ok := p.Records.Get(keyOf(sandbox.ID, a.Interface))
	if !ok {
		return problem(a, errors.New("the interface is missing"))
	}
	if err := p.compare(r); err != nil {
		return problem(a, err)
	}
	return nil
}

func (p *Plugins) compare(r Record) error {
	if r.Made == nil {
		return errors.New("an attempt to make the interface did not come to its end")
	}
	if !r.Made.HasLink {
		return nil
	}
	seen, found, err := p.Options.Look(r.Sandbox.NetNS, r.Interface)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("the interface is missing")
	}
	for _, address := range r.Made.Addresses {
		if !slices.Contains(seen.Addresses, address) {
			return fmt.Errorf("address %s is missing", address)
		}
	}
	return nil
}

// Check has the plugins look, where their configuration has a version that knows CHECK and does not forbid it.
func (p *Plugins) Check(ctx context.Context, sandbox sandboxes.Sandbox, a plan.Attachment) error {
	r, ok := p.Records.Get(keyOf(sandbox.ID, a.Interface))
	if !ok {
		return problem(a, errors.New("the interface is missing"))
	}
	list, _, err := parse(r.CNI)
	if err == nil && knowsCheck(list) {
		err = p.cni.CheckNetworkList(ctx, list, p.arguments(r))
	}
	if err != nil {
		return problem(a, err)
	}
	return nil
}
