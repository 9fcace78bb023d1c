package controllers

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// InTheWay tells who keeps a claim from what it names, nil for nobody, and whether a pod of its name has an attachment.
func (a *Allocator) InTheWay(uid types.UID, now time.Time) (obstacle *decide.Refusal, inUse bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.claims.byUID[uid]
	if c == nil {
		return nil, false
	}
	if o := a.inTheWay(c, "", now); o != nil && !o.own {
		obstacle = &o.Refusal
	}
	return obstacle, a.inUse(c)
}

// inUse tells whether an attachment records something of the claim that is for a pod of its name.
func (a *Allocator) inUse(c *claimRecord) bool {
	b := a.book(c.object.Spec.NetworkName)
	return slices.ContainsFunc(b.allRecorders(c.addresses, c.object.Spec.MAC), func(owner ipam.Owner) bool {
		record := a.attachmentOf(owner)
		return record != nil && record.pod == c.pod()
	})
}

// obstacle is who keeps a claim from what it names.
type obstacle struct {
	decide.Refusal
	// own tells that it is of a pod that the claim is for, but of another one than asks.
	own bool
}

// inTheWay: others come first, since what is of the claim's own pods ends by itself. self is a reservation that does not count.
func (a *Allocator) inTheWay(c *claimRecord, self ipam.Owner, now time.Time) *obstacle {
	b := a.book(c.object.Spec.NetworkName)
	var found []*obstacle
	for _, addr := range c.addresses {
		if aside, ok := b.pool.IsAside(addr, now); ok {
			found = append(found, &obstacle{Refusal: decide.Refusal{Reason: v1alpha1.ReasonAddressInUse, Message: fmt.Sprintf(
				"%s is in use by another machine (%s); it is tried again at %s", addr, aside.By, aside.Since.Add(ipam.AsideTime).UTC().Format(time.RFC3339))}})
		}
		found = append(found, a.among(b.recorders(addr), c, self, v1alpha1.ReasonAddressInUse, addr.String())...)
	}
	if mac := c.object.Spec.MAC; mac != "" {
		found = append(found, a.among(b.macs[mac], c, self, v1alpha1.ReasonMACInUse, "MAC "+mac)...)
	}
	if i := slices.IndexFunc(found, func(o *obstacle) bool { return !o.own }); i >= 0 {
		return found[i]
	}
	if len(found) > 0 {
		return found[0]
	}
	return nil
}

// among finds who of several comes before the claim: every attachment, and claims that were there earlier.
func (a *Allocator) among(recorders []ipam.Owner, c *claimRecord, self ipam.Owner, reason, what string) (found []*obstacle) {
	behind := false
	for _, owner := range recorders {
		var holder string
		own := false
		if other := a.claimOf(owner); other != nil {
			if behind = behind || other == c; behind {
				continue
			}
			holder = "AddressClaim " + other.key().String()
		} else if record := a.attachmentOf(owner); record != nil {
			own = record.pod == c.pod()
			holder = fmt.Sprintf("attachment %s of pod %s on node %s", record.key, record.pod, record.node)
		} else if r := a.reserved[owner]; r != nil && owner != self {
			own = r.pod == c.pod()
			holder = fmt.Sprintf("attachment %s, which is being made", owner)
		} else {
			continue
		}
		found = append(found, &obstacle{own: own, Refusal: decide.Refusal{Reason: reason, Message: what + " is in use by " + holder}})
	}
	return found
}
