package controllers

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// defaultQuarantine is that of the CRD, for objects that were stored before it had a default.
const defaultQuarantine = time.Minute

// Allocator is the view on all PodNetworkAttachments from which addresses are given out. It is never the record:
// an address is held because an attachment says so, or because a create of one was sent and its outcome is
// not known yet (a reservation).
type Allocator struct {
	ready chan struct{}

	mu       sync.Mutex
	networks map[string]*networkBook
	// attachments by UID: two of one name are two holders, as when a deletion is seen late.
	attachments map[types.UID]*attachmentRecord
	names       map[ipam.Owner]int
	reserved    map[ipam.Owner]*reservation
	listeners   []func(change)
}

type networkBook struct {
	uid         types.UID
	generation  int64
	pool        *ipam.Pool
	attachments int32
	// contested lists attachments that record an address which another one holds, or a reservation. Whoever is left
	// gets it.
	contested map[netip.Addr][]*attachmentRecord
}

type attachmentRecord struct {
	network   string
	key       types.NamespacedName
	uid       types.UID
	pod       types.NamespacedName
	addresses []netip.Addr
}

type reservation struct {
	network     string
	assignments []ipam.Assignment
	// since is when it was last asked for.
	since time.Time
	// sent: a create was sent of which it is not known whether it arrived.
	sent bool
}

// change is told to listeners after the books were changed.
type change struct {
	network string
	// pod of the attachment that came or went.
	pod types.NamespacedName
	// freed tells that the attachment went.
	freed bool
}

// NewAllocator returns an allocator that knows of nothing; see Rebuilder.
func NewAllocator() *Allocator {
	return &Allocator{
		ready:       make(chan struct{}),
		networks:    map[string]*networkBook{},
		attachments: map[types.UID]*attachmentRecord{},
		names:       map[ipam.Owner]int{},
		reserved:    map[ipam.Owner]*reservation{},
	}
}

// owner of a reservation is the attachment's namespace/name; that of an attachment has its UID behind it.
func reservationOwner(key types.NamespacedName) ipam.Owner { return ipam.Owner(key.String()) }

func (r *attachmentRecord) owner() ipam.Owner {
	return ipam.Owner(r.key.String() + "/" + string(r.uid))
}

func (a *Allocator) book(network string) *networkBook {
	b := a.networks[network]
	if b == nil {
		b = &networkBook{pool: ipam.New(nil, defaultQuarantine), contested: map[netip.Addr][]*attachmentRecord{}}
		a.networks[network] = b
	}
	return b
}

// Configure takes over the ranges of a Network that passed decide.CheckNetwork. Older generations are ignored:
// callers read them from a cache, each at its own time.
func (a *Allocator) Configure(network *v1alpha1.Network) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.configure(network)
}

func (a *Allocator) configure(network *v1alpha1.Network) error {
	b := a.book(network.Name)
	if b.uid == network.UID && b.generation >= network.Generation {
		return nil
	}
	ranges, err := ipam.ParseRanges(network.Spec.IPAM)
	if err != nil {
		return fmt.Errorf("network %s: %w", network.Name, err)
	}
	quarantine := defaultQuarantine
	if network.Spec.IPAM != nil && network.Spec.IPAM.Quarantine != nil {
		quarantine = network.Spec.IPAM.Quarantine.Duration
	}
	b.pool.Reconfigure(ranges, quarantine)
	b.uid, b.generation = network.UID, network.Generation
	return nil
}

// Want is one attachment that is about to be created.
type Want struct {
	Network string
	// Key is the name of the attachment.
	Key types.NamespacedName
}

// Reserve holds addresses for attachments that are about to be created: for all of them or for none, since two
// pods that each hold the one address that the other waits for would wait for ever. Asking again gives the
// same addresses until Settle or Refused. A want whose attachment exists, although the cache may not show it yet,
// is absent from the result. The error wraps ipam.ErrExhausted.
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
		if r := a.reserved[owner]; r != nil && a.taken(r) {
			a.cancel(want.Key)
		}
		if a.reserved[owner] == nil {
			assignments, err := a.book(want.Network).pool.Allocate(owner, now)
			if err != nil {
				for _, key := range fresh {
					a.cancel(key)
				}
				return nil, fmt.Errorf("network %s: %w", want.Network, err)
			}
			a.reserved[owner] = &reservation{network: want.Network, assignments: assignments}
			fresh = append(fresh, want.Key)
		}
		a.reserved[owner].since = now
		assigned[want.Key] = a.reserved[owner].assignments
	}
	return assigned, nil
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

// Listen calls f after every change, from the goroutine that made it.
func (a *Allocator) Listen(f func(change)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listeners = append(a.listeners, f)
}

func (a *Allocator) tell(c change) {
	a.mu.Lock()
	listeners := a.listeners
	a.mu.Unlock()
	for _, f := range listeners {
		f(c)
	}
}
