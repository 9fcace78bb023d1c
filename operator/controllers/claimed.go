package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// errClaimsChanged: the pod was planned with claims that are not the current ones. It is planned anew.
var errClaimsChanged = errors.New("the address claims changed")

// blockedError tells that a pod waits for what its claim names.
type blockedError struct {
	claim *v1alpha1.AddressClaim
	// own: it waits for an attachment that a pod of the same name had.
	own bool
	why string
}

func (e *blockedError) Error() string {
	if e.own {
		return fmt.Sprintf("AddressClaim %q: %s; the pod gets it when that is gone", e.claim.Name, e.why)
	}
	return fmt.Sprintf("AddressClaim %q: %s", e.claim.Name, e.why)
}

// claimed returns the addresses of the want's claim. No two attachments ever share them: the next one waits until the
// former is gone, whatever became of its pod.
func (a *Allocator) claimed(want Want, now time.Time) ([]netip.Addr, error) {
	if want.Claim == "" {
		return nil, nil
	}
	c := a.claims.byUID[want.Claim]
	if c == nil {
		return nil, errClaimsChanged
	}
	a.cancelUnsent(c, want.Key)
	if o := a.inTheWay(c, reservationOwner(want.Key), now); o != nil {
		return nil, &blockedError{claim: c.object, own: o.own, why: o.Message}
	}
	return c.addresses, nil
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
