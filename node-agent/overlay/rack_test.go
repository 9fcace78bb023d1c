package overlay

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// fib is what a link has, with the kernel's own rules: a MAC can be on several nodes, adding with replacement changes the first of
// them, and an address has one MAC.
type fib struct {
	macs  map[plumb.MAC][]netip.Addr
	addrs map[netip.Addr]plumb.MAC
}

func newFIB() *fib {
	return &fib{macs: map[plumb.MAC][]netip.Addr{}, addrs: map[netip.Addr]plumb.MAC{}}
}

func (f *fib) list() (all []plumb.Entry) {
	for mac, nodes := range f.macs {
		for _, via := range nodes {
			all = append(all, plumb.Entry{MAC: mac, Via: via})
		}
	}
	for addr, mac := range f.addrs {
		all = append(all, plumb.Entry{MAC: mac, Addr: addr})
	}
	return all
}

func (f *fib) add(e plumb.Entry) {
	nodes := f.macs[e.MAC]
	switch {
	case e.Addr.IsValid():
		f.addrs[e.Addr] = e.MAC
	case slices.Contains(nodes, e.Via):
	case len(nodes) == 0:
		f.macs[e.MAC] = []netip.Addr{e.Via}
	default:
		f.macs[e.MAC][0] = e.Via
	}
}

func (f *fib) remove(e plumb.Entry) {
	if e.Addr.IsValid() {
		if f.addrs[e.Addr] == e.MAC {
			delete(f.addrs, e.Addr)
		}
		return
	}
	f.macs[e.MAC] = slices.DeleteFunc(f.macs[e.MAC], func(via netip.Addr) bool { return via == e.Via })
	if len(f.macs[e.MAC]) == 0 {
		delete(f.macs, e.MAC)
	}
}

// program adds and then removes, as plumb.Program does.
func (f *fib) program(add, remove []plumb.Entry) {
	for _, e := range add {
		f.add(e)
	}
	for _, e := range remove {
		f.remove(e)
	}
}

// desired is what the link should have, found the slow way: for each MAC and address all who say that they have it.
func desired(claims map[types.NamespacedName]*claim) map[plumb.Entry]bool {
	sayers := map[string][]*claim{}
	for _, c := range claims {
		sayers["mac "+c.mac.String()] = append(sayers["mac "+c.mac.String()], c)
		for _, a := range c.addrs {
			sayers[a.String()] = append(sayers[a.String()], c)
		}
	}
	wanted := map[plumb.Entry]bool{}
	for what, list := range sayers {
		slices.SortFunc(list, func(a, b *claim) int {
			alive := func(c *claim) int { return map[bool]int{false: 0, true: 1}[c.deleting] }
			return cmp.Or(cmp.Compare(alive(a), alive(b)), -a.created.Compare(b.created), cmp.Compare(a.name.String(), b.name.String()))
		})
		winner := list[0]
		if !winner.via.IsValid() {
			continue
		}
		e := plumb.Entry{MAC: winner.mac, Via: winner.via}
		if addr, err := netip.ParseAddr(what); err == nil {
			e = plumb.Entry{MAC: winner.mac, Addr: addr}
		}
		wanted[e] = true
	}
	return wanted
}

// rackModel is a rack beside what the API server has and what it has told.
type rackModel struct {
	api, seen map[types.NamespacedName]*claim
	rack      *rack
	kernel    *fib
	// dirty: the kernel may differ from what the rack believes.
	dirty   bool
	version int
	members []netip.Addr
	serial  int
}

func drawClaim(t *rapid.T, serial int) *claim {
	c := &claim{
		name:     types.NamespacedName{Namespace: "ns", Name: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "name")},
		uid:      types.UID(fmt.Sprint(serial)),
		created:  time.Unix(int64(rapid.IntRange(0, 2).Draw(t, "created")), 0),
		deleting: rapid.Bool().Draw(t, "deleting"),
		mac:      plumb.MAC{2, 0, 0, 0, 0, byte(rapid.IntRange(1, 4).Draw(t, "mac"))},
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "addresses") {
		c.addrs = append(c.addrs, netip.AddrFrom4([4]byte{10, 1, byte(i), byte(rapid.IntRange(1, 3).Draw(t, "address"))}))
	}
	if node := rapid.IntRange(0, 3).Draw(t, "node"); node > 0 {
		c.via = netip.AddrFrom4([4]byte{172, 18, 0, byte(2 + node)})
	}
	return c
}

// write changes the API; the event is told, twice, or lost.
func (m *rackModel) write(t *rapid.T) {
	m.serial++
	c := drawClaim(t, m.serial)
	m.api[c.name] = c
	for range rapid.IntRange(0, 2).Draw(t, "times told") {
		copied := *c
		m.seen[c.name] = &copied
		m.rack.set(&copied)
	}
}

func (m *rackModel) delete(t *rapid.T) {
	name := drawClaim(t, 0).name
	delete(m.api, name)
	if rapid.Bool().Draw(t, "told") {
		delete(m.seen, name)
		m.rack.remove(name)
	}
}

// relist tells of everything, as after a lost watch.
func (m *rackModel) relist(*rapid.T) {
	m.seen = maps.Clone(m.api)
	m.rack.replace(slices.Collect(maps.Values(m.seen)))
}

// delta programs the changes; the kernel may fail half way, which the rack's owner is told.
func (m *rackModel) delta(t *rapid.T) {
	add, remove := m.rack.delta()
	m.program(t, add, remove)
}

// reconcile does so after reading the kernel.
func (m *rackModel) reconcile(t *rapid.T) {
	add, remove := m.rack.reconcile(m.kernel.list())
	m.dirty = false
	m.program(t, add, remove)
}

func (m *rackModel) program(t *rapid.T, add, remove []plumb.Entry) {
	wanted := desired(m.seen)
	for _, e := range remove {
		if wanted[e] {
			t.Fatalf("%s is removed, but wanted", e)
		}
	}
	for _, e := range add {
		if !wanted[e] {
			t.Fatalf("%s is added, but not wanted", e)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
		m.dirty = true
		add = add[:rapid.IntRange(0, len(add)).Draw(t, "added")]
		remove = remove[:rapid.IntRange(0, len(remove)).Draw(t, "removed")]
	}
	m.kernel.program(add, remove)
}

// meddle is somebody else's change of the link.
func (m *rackModel) meddle(t *rapid.T) {
	m.dirty = true
	c := drawClaim(t, 0)
	if rapid.Bool().Draw(t, "removes") {
		clear(m.kernel.addrs)
	} else if !c.local() && !slices.Contains(m.kernel.macs[c.mac], c.via) {
		m.kernel.macs[c.mac] = append(m.kernel.macs[c.mac], c.via)
	}
}

func TestRackConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &rackModel{api: map[types.NamespacedName]*claim{}, seen: map[types.NamespacedName]*claim{}, rack: newRack(), kernel: newFIB()}
		t.Repeat(map[string]func(*rapid.T){
			"write": m.write, "delete": m.delete, "relist": m.relist, "delta": m.delta, "reconcile": m.reconcile, "meddle": m.meddle,
			"": m.check,
		})
		m.relist(t)
		for m.reconcile(t); m.dirty; m.reconcile(t) {
		}
		if diff := gocmp.Diff(desired(m.api), setOfEntries(m.kernel.list())); diff != "" {
			t.Fatalf("the kernel after everything was told and reconciled (-want +got):\n%s", diff)
		}
	})
}

func setOfEntries(list []plumb.Entry) map[plumb.Entry]bool {
	set := map[plumb.Entry]bool{}
	for _, e := range list {
		set[e] = true
	}
	return set
}

// check holds at any time.
func (m *rackModel) check(t *rapid.T) {
	var want []netip.Addr
	for _, c := range m.seen {
		if !c.local() && !slices.Contains(want, c.via) {
			want = append(want, c.via)
		}
	}
	slices.SortFunc(want, netip.Addr.Compare)
	got := m.rack.members()
	if !slices.Equal(got, want) {
		t.Fatalf("members %v, want %v", got, want)
	}
	if !slices.Equal(got, m.members) && m.rack.version == m.version {
		t.Fatalf("members went from %v to %v in one version", m.members, got)
	}
	m.members, m.version = got, m.rack.version
	if !m.dirty && len(m.rack.changed) == 0 {
		if diff := gocmp.Diff(desired(m.seen), setOfEntries(m.kernel.list())); diff != "" {
			t.Fatalf("the kernel with nothing left to do (-want +got):\n%s", diff)
		}
	}
}

// A StatefulSet's pod moves with its addresses and its MAC; the node that it leaves and the one that it comes to are told of both.
func TestReplacedPod(t *testing.T) {
	old := mustClaim(t, remote())
	moved := *old
	moved.name.Name, moved.uid, moved.via = "b", "uid-b", netip.MustParseAddr("172.18.0.4")
	here := *old
	here.name.Name, here.uid, here.via = "c", "uid-c", netip.Addr{}
	going := *old
	going.deleting = true
	later := moved
	later.created = later.created.Add(time.Second)
	at := func(c *claim) *netip.Addr { return &c.via }
	for name, test := range map[string]struct {
		claims []*claim
		want   *netip.Addr // where the MAC is, nil for here or nowhere
	}{
		"one":                              {[]*claim{old}, at(old)},
		"the living before the deleted":    {[]*claim{&going, &moved}, at(&moved)},
		"the order does not matter":        {[]*claim{&moved, &going}, at(&moved)},
		"the newer of two living":          {[]*claim{old, &later}, at(&later)},
		"the deleted one when it is alone": {[]*claim{&going}, at(old)},
		"moved here":                       {[]*claim{&going, &here}, nil},
		"moved away":                       {[]*claim{deletingClaim(here), &moved}, at(&moved)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRack()
			for _, c := range test.claims {
				r.set(c)
			}
			e, any := r.wanted(subject{mac: old.mac})
			if any != (test.want != nil) || any && e.Via != *test.want {
				t.Errorf("MAC on %v, %v, want %v", e.Via, any, test.want)
			}
			if _, known := r.wanted(subject{addr: old.addrs[0]}); known != any {
				t.Errorf("the address is known: %v, the MAC: %v", known, any)
			}
		})
	}
}

func deletingClaim(c claim) *claim { c.deleting = true; return &c }

func mustClaim(t testing.TB, pna *v1alpha1.PodNetworkAttachment) *claim {
	t.Helper()
	c, err := claimOf(pna, self, rack1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
