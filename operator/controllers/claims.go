package controllers

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// claimBook is the part of the allocator that knows of AddressClaims.
type claimBook struct {
	byUID map[types.UID]*claimRecord
	ofPod map[types.NamespacedName][]*claimRecord
	// touched are claims about which something changed that their listeners were not told yet.
	touched   map[types.NamespacedName]bool
	listeners []func(types.NamespacedName)
}

// claimRecord is a claim that holds what it names, or waits for it.
type claimRecord struct {
	object    *v1alpha1.AddressClaim
	addresses []netip.Addr
}

func newClaimBook() claimBook {
	return claimBook{
		byUID: map[types.UID]*claimRecord{}, ofPod: map[types.NamespacedName][]*claimRecord{}, touched: map[types.NamespacedName]bool{},
	}
}

func (c *claimRecord) key() types.NamespacedName {
	return types.NamespacedName{Namespace: c.object.Namespace, Name: c.object.Name}
}

func (c *claimRecord) pod() types.NamespacedName {
	return types.NamespacedName{Namespace: c.object.Namespace, Name: c.object.Spec.PodName}
}

// owner begins like no namespace does.
func (c *claimRecord) owner() ipam.Owner {
	return ipam.Owner("claim:" + c.key().String() + "/" + string(c.object.UID))
}

// HoldClaim has a claim hold its addresses and its MAC, or wait for whoever has them. Doing it again is fine.
func (a *Allocator) HoldClaim(claim *v1alpha1.AddressClaim) {
	a.mu.Lock()
	a.holdClaim(claim)
	a.mu.Unlock()
	a.tellClaims()
}

func (a *Allocator) holdClaim(claim *v1alpha1.AddressClaim) {
	if known := a.claims.byUID[claim.UID]; known != nil {
		known.object = claim.DeepCopy() // Its labels may have changed, its spec may not.
		return
	}
	c := &claimRecord{object: claim.DeepCopy(), addresses: decide.ClaimAddresses(claim)}
	a.claims.byUID[claim.UID] = c
	a.claims.ofPod[c.pod()] = append(a.claims.ofPod[c.pod()], c)
	b := a.book(claim.Spec.NetworkName)
	for _, addr := range c.addresses {
		b.hold(addr, c.owner())
	}
	b.holdMAC(claim.Spec.MAC, c.owner())
	a.touch(b, c.addresses, claim.Spec.MAC)
}

// Holds tells whether a claim holds what it names, or waits for it.
func (a *Allocator) Holds(claim types.UID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claims.byUID[claim] != nil
}

// ForgetClaim frees what a claim holds that is gone, or that the Network does not give it any more.
func (a *Allocator) ForgetClaim(uid types.UID, now time.Time) {
	a.mu.Lock()
	c := a.claims.byUID[uid]
	if c != nil {
		a.forgetClaim(c, now)
	}
	a.mu.Unlock()
	if c != nil {
		a.tell(change{network: c.object.Spec.NetworkName, freed: true})
	}
}

func (a *Allocator) forgetClaim(c *claimRecord, now time.Time) {
	delete(a.claims.byUID, c.object.UID)
	left := slices.DeleteFunc(a.claims.ofPod[c.pod()], func(o *claimRecord) bool { return o == c })
	if a.claims.ofPod[c.pod()] = left; len(left) == 0 {
		delete(a.claims.ofPod, c.pod())
	}
	b := a.book(c.object.Spec.NetworkName)
	for _, addr := range c.addresses {
		b.release(addr, c.owner(), now)
	}
	b.releaseMAC(c.object.Spec.MAC, c.owner())
	a.touch(b, c.addresses, c.object.Spec.MAC)
}

// ClaimsOf returns the claims for the pods of a name that hold something or wait for it.
func (a *Allocator) ClaimsOf(pod types.NamespacedName) []*v1alpha1.AddressClaim {
	a.mu.Lock()
	defer a.mu.Unlock()
	var claims []*v1alpha1.AddressClaim
	for _, c := range a.claims.ofPod[pod] {
		claims = append(claims, c.object)
	}
	return claims
}

func (a *Allocator) claimOf(owner ipam.Owner) *claimRecord {
	if !strings.HasPrefix(string(owner), "claim:") {
		return nil
	}
	return a.claims.byUID[uidOf(owner)]
}

// attachmentOf returns nil for claims and reservations: these have no UID.
func (a *Allocator) attachmentOf(owner ipam.Owner) *attachmentRecord {
	if strings.Count(string(owner), "/") < 2 {
		return nil
	}
	return a.attachments[uidOf(owner)]
}

func uidOf(owner ipam.Owner) types.UID {
	return types.UID(owner[strings.LastIndex(string(owner), "/")+1:])
}

// touch remembers the claims that a change of their addresses or MAC concerns.
func (a *Allocator) touch(b *networkBook, addresses []netip.Addr, mac string) {
	if len(a.claims.byUID) == 0 {
		return
	}
	for _, owner := range b.allRecorders(addresses, mac) {
		if c := a.claimOf(owner); c != nil {
			a.claims.touched[c.key()] = true
		}
	}
}

// ListenClaims calls f with every claim about which something may have changed.
func (a *Allocator) ListenClaims(f func(types.NamespacedName)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.claims.listeners = append(a.claims.listeners, f)
}

func (a *Allocator) tellClaims() {
	a.mu.Lock()
	touched, listeners := a.claims.touched, a.claims.listeners
	if len(touched) > 0 {
		a.claims.touched = map[types.NamespacedName]bool{}
	}
	a.mu.Unlock()
	for key := range touched {
		for _, f := range listeners {
			f(key)
		}
	}
}
