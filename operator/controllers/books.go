package controllers

import (
	"fmt"
	"maps"
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
		node:      pna.Spec.NodeName,
		mac:       pna.Spec.MAC,
		addresses: decide.Addresses(pna),
		place:     placeOf(pna),
	}
	b := a.book(record.network)
	b.attachments++
	b.racks.enter(record.place)
	a.attachments[pna.UID] = record
	a.names[reservationOwner(record.key)]++
	for _, addr := range record.addresses {
		b.hold(addr, record.owner())
	}
	b.holdMAC(record.mac, record.owner())
	a.touch(b, record.addresses, record.mac)
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
		b.release(addr, record.owner(), now)
	}
	b.releaseMAC(record.mac, record.owner())
	a.touch(b, record.addresses, record.mac)
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
	// Outside lists addresses in use that no range has and no claim, with the attachment that holds them.
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
		if slices.ContainsFunc(b.recorders(addr), func(o ipam.Owner) bool { return a.claimOf(o) != nil }) {
			continue // asked for by name, which start, end and exclude do not concern
		}
		parts := strings.SplitN(string(owner), "/", 3)
		usage.Outside = append(usage.Outside, fmt.Sprintf("%s (%s)", addr, strings.Join(parts[:2], "/")))
	}
	return usage
}
