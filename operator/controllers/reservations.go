package controllers

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// Want is one attachment that is about to be created.
type Want struct {
	Network string
	// Key is the name of the attachment.
	Key types.NamespacedName
	// Scope is the rack, "" where the Network has none.
	Scope string
	// Claim is the UID of the AddressClaim that has the addresses, "" where there is none.
	Claim types.UID
	// Asked is what the pod itself asks for, nil for nothing. Not both.
	Asked *decide.Asked
	// Pod is that of the attachment; pods of one name are planned one after the other.
	Pod types.NamespacedName
}

// Reserve holds addresses for attachments that are about to be created: for all of them or for none, since two
// pods that each hold the one address that the other waits for would wait for ever. Asking again gives the
// same addresses until Settle or Refused. A want whose attachment exists, although the cache may not show it yet,
// is absent from the result. The error wraps ipam.ErrExhausted or errRackNotServed, or is a blockedError.
func (a *Allocator) Reserve(wants []Want, now time.Time) (map[types.NamespacedName][]ipam.Assignment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	assigned := map[types.NamespacedName][]ipam.Assignment{}
	var fresh []types.NamespacedName
	// Who will have any address must not take the one that another interface of the pod asks for.
	wants = slices.Clone(wants)
	slices.SortStableFunc(wants, func(a, b Want) int {
		switch {
		case a.Asked != nil && b.Asked == nil:
			return -1
		case a.Asked == nil && b.Asked != nil:
			return 1
		}
		return 0
	})
	for _, want := range wants {
		owner := reservationOwner(want.Key)
		if a.names[owner] > 0 {
			continue
		}
		made, err := a.reserve(want, now)
		if made {
			fresh = append(fresh, want.Key)
		}
		if err != nil {
			for _, key := range fresh {
				a.cancel(key)
			}
			return nil, err
		}
		a.reserved[owner].since = now
		assigned[want.Key] = a.reserved[owner].assignments
	}
	return assigned, nil
}

// reserve makes the reservation that is wanted, unless it is there.
func (a *Allocator) reserve(want Want, now time.Time) (made bool, err error) {
	owner := reservationOwner(want.Key)
	if r := a.reserved[owner]; r != nil && (a.taken(r) || (r.scope != want.Scope || r.claim != want.Claim) && !r.sent) {
		a.cancel(want.Key)
	}
	r := a.reserved[owner]
	fixed := &claimRecord{object: &v1alpha1.AddressClaim{}}
	if r == nil || r.fixed() {
		if fixed, err = a.wanted(want, now); err != nil {
			return false, err
		}
	}
	if r != nil {
		return false, nil
	}
	assignments, err := a.allocate(want, fixed.addresses, now)
	if err != nil {
		return false, fmt.Errorf("network %s: %w", want.Network, err)
	}
	b := a.book(want.Network)
	r = &reservation{
		network: want.Network, scope: want.Scope, vni: b.racks.served[want.Scope], assignments: assignments, claim: want.Claim, asked: want.Asked != nil,
		mac: fixed.object.Spec.MAC, pod: want.Pod,
	}
	for _, addr := range fixed.addresses {
		b.hold(addr, owner)
	}
	b.holdMAC(r.mac, owner)
	a.reserved[owner] = r
	return true, nil
}

func (a *Allocator) allocate(want Want, fixed []netip.Addr, now time.Time) ([]ipam.Assignment, error) {
	b := a.book(want.Network)
	if _, served := b.racks.served[want.Scope]; want.Scope != "" && !served {
		return nil, &rackError{want.Scope, errRackNotServed}
	}
	assignments, err := b.pool.Allocate(ipam.Request{Owner: reservationOwner(want.Key), Scope: want.Scope, Fixed: fixed}, now)
	if err != nil && want.Scope != "" {
		return nil, &rackError{want.Scope, err}
	}
	return assignments, err
}

// taken tells whether an attachment was found that records an address of the reservation. Another leader made it:
// to go on would make a duplicate. What a claim has is looked at by claimed.
func (a *Allocator) taken(r *reservation) bool {
	return r.claim == "" && slices.ContainsFunc(r.assignments, func(assigned ipam.Assignment) bool {
		return slices.ContainsFunc(a.book(r.network).contested[assigned.Addr], func(owner ipam.Owner) bool {
			return a.attachmentOf(owner) != nil
		})
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
	a.cancelIf(key, func(r *reservation) bool { return !r.sent && !r.keeping })
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

// cancel tells whether somebody may get an address now: what others record too is handed over to them.
func (a *Allocator) cancel(key types.NamespacedName) (network string, freed bool) {
	owner := reservationOwner(key)
	r := a.reserved[owner]
	if r == nil {
		return "", false
	}
	delete(a.reserved, owner)
	b := a.book(r.network)
	var addresses []netip.Addr
	for _, assigned := range r.assignments {
		addresses = append(addresses, assigned.Addr)
		switch last := b.giveUp(assigned.Addr, owner); {
		case last && r.fixed():
			// Pods before this one may have had the address.
			freed = b.pool.Release(assigned.Addr, owner, time.Now()) || freed
		case last:
			b.pool.Cancel(assigned.Addr, owner)
			freed = true
		}
	}
	b.releaseMAC(r.mac, owner)
	a.touch(b, addresses, r.mac)
	return r.network, freed || r.fixed()
}
