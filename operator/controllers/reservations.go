package controllers

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/operator/ipam"
)

// Want is one attachment that is about to be created.
type Want struct {
	Network string
	// Key is the name of the attachment.
	Key types.NamespacedName
	// Scope is the rack, "" where the Network has none.
	Scope string
}

// Reserve holds addresses for attachments that are about to be created: for all of them or for none, since two
// pods that each hold the one address that the other waits for would wait for ever. Asking again gives the
// same addresses until Settle or Refused. A want whose attachment exists, although the cache may not show it yet,
// is absent from the result. The error wraps ipam.ErrExhausted or errRackNotServed.
func (a *Allocator) Reserve(wants []Want, now time.Time) (map[types.NamespacedName][]ipam.Assignment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	assigned := map[types.NamespacedName][]ipam.Assignment{}
	var fresh []types.NamespacedName
	for _, want := range wants {
		owner := reservationOwner(want.Key)
		if a.names[owner] > 0 {
			continue
		}
		if r := a.reserved[owner]; r != nil && (a.taken(r) || r.scope != want.Scope && !r.sent) {
			a.cancel(want.Key)
		}
		if a.reserved[owner] == nil {
			assignments, err := a.allocate(want, owner, now)
			if err != nil {
				for _, key := range fresh {
					a.cancel(key)
				}
				return nil, fmt.Errorf("network %s: %w", want.Network, err)
			}
			vni := a.book(want.Network).racks.served[want.Scope]
			a.reserved[owner] = &reservation{network: want.Network, scope: want.Scope, vni: vni, assignments: assignments}
			fresh = append(fresh, want.Key)
		}
		a.reserved[owner].since = now
		assigned[want.Key] = a.reserved[owner].assignments
	}
	return assigned, nil
}

func (a *Allocator) allocate(want Want, owner ipam.Owner, now time.Time) ([]ipam.Assignment, error) {
	b := a.book(want.Network)
	if _, served := b.racks.served[want.Scope]; want.Scope != "" && !served {
		return nil, &rackError{want.Scope, errRackNotServed}
	}
	assignments, err := b.pool.Allocate(ipam.Request{Owner: owner, Scope: want.Scope}, now)
	if err != nil && want.Scope != "" {
		return nil, &rackError{want.Scope, err}
	}
	return assignments, err
}

// taken tells whether an attachment was found that records an address of the reservation. Another leader made it:
// to go on would make a duplicate.
func (a *Allocator) taken(r *reservation) bool {
	return slices.ContainsFunc(r.assignments, func(assigned ipam.Assignment) bool {
		return len(a.book(r.network).contested[assigned.Addr]) > 0
	})
}

// Sent remembers that a create may have arrived, or may still.
func (a *Allocator) Sent(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.reserved[reservationOwner(key)]; r != nil {
		r.sent = true
	}
}

// Refused gives back a reservation after the API server refused the create, unless an earlier try may have arrived.
func (a *Allocator) Refused(key types.NamespacedName) {
	a.cancelIf(key, func(r *reservation) bool { return !r.sent })
}

// cancelOlder gives back a reservation that nobody asked for since before.
func (a *Allocator) cancelOlder(key types.NamespacedName, before time.Time) {
	a.cancelIf(key, func(r *reservation) bool { return r.since.Before(before) })
}

func (a *Allocator) cancelIf(key types.NamespacedName, condition func(*reservation) bool) {
	a.mu.Lock()
	var network string
	var freed bool
	if r := a.reserved[reservationOwner(key)]; r != nil && condition(r) {
		network, freed = a.cancel(key)
	}
	a.mu.Unlock()
	if freed {
		a.tell(change{network: network, freed: true})
	}
}

// cancel tells whether an address became free: what an attachment records too is handed over to it.
func (a *Allocator) cancel(key types.NamespacedName) (network string, freed bool) {
	owner := reservationOwner(key)
	r := a.reserved[owner]
	if r == nil {
		return "", false
	}
	delete(a.reserved, owner)
	b := a.book(r.network)
	for _, assigned := range r.assignments {
		if !b.handOver(assigned.Addr, owner) {
			b.pool.Cancel(assigned.Addr, owner)
			freed = true
		}
	}
	return r.network, freed
}
