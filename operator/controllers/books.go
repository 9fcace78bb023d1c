package controllers

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// Settle ends a reservation by the attachment that is stored, whoever created it.
func (a *Allocator) Settle(pna *v1alpha1.PodNetworkAttachment) {
	a.mu.Lock()
	record, added := a.observe(pna)
	network, freed := a.cancel(record.key)
	a.mu.Unlock()
	if added {
		a.tell(change{network: record.network, pod: record.pod})
	}
	if freed {
		a.tell(change{network: network, freed: true})
	}
}

// Observe records an attachment that exists. Observing again is fine, and cheap. A reservation of its name goes on
// beside it: what is observed late may be a predecessor that is gone, while the create is on its way.
func (a *Allocator) Observe(pna *v1alpha1.PodNetworkAttachment) {
	a.mu.Lock()
	record, added := a.observe(pna)
	a.mu.Unlock()
	if added {
		a.tell(change{network: record.network, pod: record.pod})
	}
}

func (a *Allocator) observe(pna *v1alpha1.PodNetworkAttachment) (*attachmentRecord, bool) {
	if known := a.attachments[pna.UID]; known != nil {
		return known, false
	}
	record := &attachmentRecord{
		network:   pna.Spec.NetworkName,
		key:       types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name},
		uid:       pna.UID,
		pod:       types.NamespacedName{Namespace: pna.Namespace, Name: pna.Spec.Pod.Name},
		addresses: decide.Addresses(pna),
		place:     placeOf(pna),
	}
	b := a.book(record.network)
	b.attachments++
	b.racks.enter(record.place)
	a.attachments[pna.UID] = record
	a.names[reservationOwner(record.key)]++
	for _, addr := range record.addresses {
		if err := b.pool.Claim(addr, record.owner()); err != nil {
			b.contested[addr] = append(b.contested[addr], record)
		}
	}
	return record, true
}

// Forget records that an attachment is gone for good and frees its addresses.
func (a *Allocator) Forget(uid types.UID, now time.Time) {
	a.mu.Lock()
	record := a.attachments[uid]
	if record != nil {
		a.forget(record, now)
	}
	a.mu.Unlock()
	if record != nil {
		a.tell(change{network: record.network, pod: record.pod, freed: true})
	}
}

func (a *Allocator) forget(record *attachmentRecord, now time.Time) {
	delete(a.attachments, record.uid)
	name := reservationOwner(record.key)
	if a.names[name]--; a.names[name] == 0 {
		delete(a.names, name)
	}
	b := a.book(record.network)
	b.attachments--
	b.racks.leave(record.place)
	for _, addr := range record.addresses {
		b.release(addr, record, now)
	}
}

// release frees an address, or hands it to another attachment that records it too.
func (b *networkBook) release(addr netip.Addr, record *attachmentRecord, now time.Time) {
	others := b.contested[addr]
	for i, other := range others {
		if other == record {
			b.setContested(addr, append(others[:i:i], others[i+1:]...))
			return
		}
	}
	if !b.handOver(addr, record.owner()) {
		b.pool.Release(addr, record.owner(), now)
	}
}

// handOver gives an address that owner holds to an attachment that records it too. It reports whether there is one.
func (b *networkBook) handOver(addr netip.Addr, owner ipam.Owner) bool {
	others := b.contested[addr]
	if len(others) == 0 || !b.pool.Transfer(addr, owner, others[0].owner()) {
		return false
	}
	b.setContested(addr, others[1:])
	return true
}

func (b *networkBook) setContested(addr netip.Addr, by []*attachmentRecord) {
	if b.contested[addr] = by; len(by) == 0 {
		delete(b.contested, addr)
	}
}

// Drop forgets a Network that does not exist any more, once no address of it is held or rests: one of the same
// name may come back before that. It is fine to ask for any name.
func (a *Allocator) Drop(network string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.networks[network]; b != nil && b.attachments == 0 && b.pool.Quiet(now) {
		b.racks = rackBook{vnis: b.racks.vnis}
		a.claimVNIs(network)
		delete(a.networks, network)
	}
}

// Networks returns the names of all that are known.
func (a *Allocator) Networks() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.networks))
}

// Attachments counts those of a Network.
func (a *Allocator) Attachments(network string) int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.networks[network]; b != nil {
		return b.attachments
	}
	return 0
}

// NetworkUsage is what a Network's status tells of its addresses.
type NetworkUsage struct {
	Attachments int32
	// Reserved counts attachments that are being created.
	Reserved int
	Ranges   []ipam.Usage
	// Outside lists addresses in use that no range has, with the attachment that holds them.
	Outside []string
}

// Usage of a Network; zero for one that was never configured.
func (a *Allocator) Usage(network string) NetworkUsage {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.networks[network]
	if b == nil {
		return NetworkUsage{}
	}
	usage := NetworkUsage{Attachments: b.attachments, Ranges: b.pool.Usage()}
	for _, r := range a.reserved {
		if r.network == network {
			usage.Reserved++
		}
	}
	for addr, owner := range b.pool.Outside() {
		parts := strings.SplitN(string(owner), "/", 3)
		usage.Outside = append(usage.Outside, fmt.Sprintf("%s (%s)", addr, strings.Join(parts[:2], "/")))
	}
	return usage
}
