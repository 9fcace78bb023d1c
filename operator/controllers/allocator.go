package controllers

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// Allocator is the view on all PodNetworkAttachments and AddressClaims from which addresses are given out. It is never the
// record: an address is held because an attachment or a claim says so, or because a create of one was sent and its outcome
// is not known yet (a reservation).
type Allocator struct {
	ready chan struct{}

	mu       sync.Mutex
	networks map[string]*networkBook
	// attachments by UID: two of one name are two holders, as when a deletion is seen late.
	attachments map[types.UID]*attachmentRecord
	names       map[ipam.Owner]int
	reserved    map[ipam.Owner]*reservation
	claims      claimBook
	// vnis tells which Network has a VNI.
	vnis      map[int32]string
	listeners []func(change)
}

type networkBook struct {
	uid        types.UID
	generation int64
	// ranges of the Network's spec. The pool has those of the racks instead, where there are racks.
	ranges      []ipam.Range
	quarantine  time.Duration
	pool        *ipam.Pool
	racks       rackBook
	attachments int32
	// contested lists attachments, claims and reservations of claimed addresses that record an address which another one
	// holds. Whoever is left gets it.
	contested map[netip.Addr][]ipam.Owner
	// macs lists the attachments and claims that record a MAC.
	macs map[string][]ipam.Owner
}

type attachmentRecord struct {
	network   string
	key       types.NamespacedName
	uid       types.UID
	pod       types.NamespacedName
	node      string
	addresses []netip.Addr
	mac       string
	place     place
}

type reservation struct {
	network string
	// scope is the rack, vni that of its overlay: a rack keeps it for as long as there are reservations.
	scope       string
	vni         int32
	assignments []ipam.Assignment
	// since is when it was last asked for.
	since time.Time
	// sent: a create was sent of which it is not known whether it arrived.
	sent bool
	pod  types.NamespacedName
	// claim that has the addresses, if there is one, and the MAC that it names.
	claim types.UID
	mac   string
	// asked: the pod itself asked for addresses or a MAC, which mac is then.
	asked bool
	// keeping: the create of a claim was sent of which it is not known whether it arrived.
	keeping bool
}

// fixed tells whether somebody asked for certain addresses or a certain MAC.
func (r *reservation) fixed() bool { return r.claim != "" || r.asked }

// change is told to listeners after the books were changed.
type change struct {
	network string
	// pod of the attachment that came or went.
	pod types.NamespacedName
	// freed tells that the attachment went.
	freed bool
	// aside tells that an address was set aside, which is to be recorded at once.
	aside bool
	// racks tells that racks are served in another way than before.
	racks bool
}

// NewAllocator returns an allocator that knows of nothing; see Rebuilder.
func NewAllocator() *Allocator {
	return &Allocator{
		ready:       make(chan struct{}),
		networks:    map[string]*networkBook{},
		attachments: map[types.UID]*attachmentRecord{},
		names:       map[ipam.Owner]int{},
		reserved:    map[ipam.Owner]*reservation{},
		claims:      newClaimBook(),
		vnis:        map[int32]string{},
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
		b = &networkBook{pool: ipam.New(nil, decide.DefaultQuarantine), contested: map[netip.Addr][]ipam.Owner{}, macs: map[string][]ipam.Owner{}}
		b.racks.places = map[place]int32{}
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
	b.uid, b.generation = network.UID, network.Generation
	b.ranges, b.quarantine = ranges, decide.Quarantine(network)
	a.configureRacks(network)
	b.applyRanges()
	return nil
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
	a.tellClaims()
}
