package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// errClaimsChanged: the pod was planned with claims that are not the current ones. It is planned anew.
var errClaimsChanged = errors.New("the address claims changed")

// blockedError tells that a pod waits for what its claim names, or it itself.
type blockedError struct {
	// claim is nil where the pod itself asks.
	claim *v1alpha1.AddressClaim
	asked *decide.Asked
	// reason is why a pod that asks itself cannot have it.
	reason string
	// own: it waits for an attachment that a pod of the same name had.
	own bool
	why string
}

func (e *blockedError) Error() string { return e.refusal().Message }

// refusal is what the pod's owner is told.
func (e *blockedError) refusal() *decide.Refusal {
	why := e.why
	if e.own {
		why += "; the pod gets it when that is gone"
	}
	if e.claim == nil {
		return e.asked.Refuse(e.reason, why)
	}
	return &decide.Refusal{Reason: v1alpha1.ReasonAddressClaim, Message: fmt.Sprintf("AddressClaim %q: %s", e.claim.Name, why)}
}

// wanted returns the want's claim, or what the pod itself asks for in the form of one that is nowhere recorded; it names
// nothing where any address will do. No two attachments ever share what is named: the next one waits until the former is
// gone, whatever became of its pod.
func (a *Allocator) wanted(want Want, now time.Time) (*claimRecord, error) {
	c := &claimRecord{object: &v1alpha1.AddressClaim{}}
	blocked := &blockedError{asked: want.Asked}
	switch {
	case want.Claim != "":
		if c = a.claims.byUID[want.Claim]; c == nil {
			return nil, errClaimsChanged
		}
		blocked.claim = c.object
	case want.Asked != nil:
		c.addresses = want.Asked.Addresses
		c.object.Namespace = want.Pod.Namespace
		c.object.Spec = v1alpha1.AddressClaimSpec{NetworkName: want.Network, PodName: want.Pod.Name, MAC: want.Asked.MAC}
	default:
		return c, nil
	}
	a.cancelUnsent(c, want.Key)
	if o := a.inTheWay(c, reservationOwner(want.Key), now); o != nil {
		blocked.own, blocked.why, blocked.reason = o.own, o.Message, o.Reason
		return nil, blocked
	}
	return c, nil
}

// cancelUnsent ends reservations of earlier pods of the name that were never sent: pods of one name are planned one after
// the other, so nobody will.
func (a *Allocator) cancelUnsent(c *claimRecord, except types.NamespacedName) {
	b := a.book(c.object.Spec.NetworkName)
	for _, owner := range b.allRecorders(c.addresses, c.object.Spec.MAC) {
		r := a.reserved[owner]
		if r != nil && owner != reservationOwner(except) && r.pod == c.pod() && !r.sent {
			a.cancel(keyOf(string(owner)))
		}
	}
}

// Keeping remembers that a claim of what is reserved may have been created, or may still be.
func (a *Allocator) Keeping(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.reserved[reservationOwner(key)]; r != nil {
		r.keeping = true
	}
}

// Kept binds a reservation to the claim that was made of it. It reports whether the claim has what is reserved: another
// operator may have made it, with other addresses.
func (a *Allocator) Kept(key types.NamespacedName, claim *v1alpha1.AddressClaim) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, r := a.claims.byUID[claim.UID], a.reserved[reservationOwner(key)]
	if r != nil && r.claim == claim.UID {
		return true
	}
	if c == nil || r == nil || !sameAddresses(r.assignments, c.addresses) {
		return false
	}
	r.claim, r.mac, r.keeping = claim.UID, claim.Spec.MAC, false
	a.book(r.network).holdMAC(r.mac, reservationOwner(key))
	return true
}

func sameAddresses(assigned []ipam.Assignment, addresses []netip.Addr) bool {
	if len(assigned) != len(addresses) {
		return false
	}
	for i := range assigned {
		if assigned[i].Addr != addresses[i] {
			return false
		}
	}
	return true
}
