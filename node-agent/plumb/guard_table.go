package plumb

import (
	"errors"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	guardTable = "multinet"
	guardChain = "overlay-members"
	// elementsPerMessage keeps the elements of a set within the 64 KiB of an attribute.
	elementsPerMessage = 1000
	// guardBuffer is room for a transaction, which goes with one system call, and for the answers to its messages.
	guardBuffer = 8 << 20
)

func roomForGuards(conn *netlink.Conn) error {
	return errors.Join(conn.SetWriteBuffer(guardBuffer), conn.SetReadBuffer(guardBuffer))
}

func guardTableRef() *nftables.Table {
	return &nftables.Table{Name: guardTable, Family: nftables.TableFamilyINet}
}

// guardSets are the sets of the table. A VNI is four bytes, the last of them zero, as a packet has it.
type guardSets struct {
	// segments are those of this node: UDP port and VNI. Whatever others have on the same port is none of our business.
	segments *nftables.Set
	// members are VNIs and the addresses that may send into them.
	members4, members6 *nftables.Set
}

func newGuardSets(table *nftables.Table) guardSets {
	// The types only tell other programs how to show a key. IDs connect rules with the sets of the same transaction.
	vni := nftables.TypeMark
	set := func(id uint32, name string, types ...nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{ID: id, Table: table, Name: name, Concatenation: true, KeyType: nftables.MustConcatSetType(types...)}
	}
	return guardSets{
		segments: set(1, "segments", nftables.TypeInetService, vni),
		members4: set(2, "members4", vni, nftables.TypeIPAddr),
		members6: set(3, "members6", vni, nftables.TypeIP6Addr),
	}
}

// guardElements are the keys of the sets.
type guardElements struct {
	segments, members4, members6 map[string]bool
}

func newGuardElements(guards []Guard) guardElements {
	e := guardElements{segments: map[string]bool{}, members4: map[string]bool{}, members6: map[string]bool{}}
	for _, g := range guards {
		vni := []byte{byte(g.VNI >> 16), byte(g.VNI >> 8), byte(g.VNI), 0}
		e.segments[string(append([]byte{byte(g.Port >> 8), byte(g.Port), 0, 0}, vni...))] = true
		for _, member := range g.Members {
			key := string(append(slices.Clone(vni), member.AsSlice()...))
			if member.Is4() {
				e.members4[key] = true
			} else {
				e.members6[key] = true
			}
		}
	}
	return e
}

func (e guardElements) equal(other guardElements) bool {
	return maps.Equal(e.segments, other.segments) && maps.Equal(e.members4, other.members4) && maps.Equal(e.members6, other.members6)
}

// writeGuards adds to a transaction in which there is no table any more.
func writeGuards(conn *nftables.Conn, elements guardElements) error {
	table := conn.AddTable(guardTableRef())
	sets := newGuardSets(table)
	err := errors.Join(conn.AddSet(sets.segments, nil), conn.AddSet(sets.members4, nil), conn.AddSet(sets.members6, nil),
		addElements(conn, sets.segments, elements.segments),
		addElements(conn, sets.members4, elements.members4),
		addElements(conn, sets.members6, elements.members6))
	if err != nil {
		return err
	}
	accept := nftables.ChainPolicyAccept
	chain := conn.AddChain(&nftables.Chain{
		Table: table, Name: guardChain, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		// Before connection tracking, so that what is dropped costs little.
		Priority: nftables.ChainPriorityRaw, Policy: &accept,
	})
	for _, rule := range guardRules(sets) {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule, UserData: []byte(guardVersion)})
	}
	return nil
}

func addElements(conn *nftables.Conn, set *nftables.Set, keys map[string]bool) error {
	return inMessages(keys, func(part []nftables.SetElement) error { return conn.SetAddElements(set, part) })
}

func deleteElements(conn *nftables.Conn, set *nftables.Set, keys map[string]bool) error {
	return inMessages(keys, func(part []nftables.SetElement) error { return conn.SetDeleteElements(set, part) })
}

func inMessages(keys map[string]bool, do func([]nftables.SetElement) error) error {
	elements := make([]nftables.SetElement, 0, len(keys))
	for key := range keys {
		elements = append(elements, nftables.SetElement{Key: []byte(key)})
	}
	for part := range slices.Chunk(elements, elementsPerMessage) {
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}

// readGuards returns the elements of the table. It is not intact where anything is not as this version makes it. Tables
// of others are not read: they may hold what the library does not know.
func readGuards(conn *nftables.Conn) (e guardElements, found, intact bool, err error) {
	table, err := conn.ListTableOfFamily(guardTable, nftables.TableFamilyINet)
	// EINVAL is the answer of a kernel without nftables.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return e, false, false, nil
	}
	if err != nil {
		return e, false, false, err
	}
	chain, errChain := conn.ListChain(table, guardChain)
	if errChain != nil {
		chain = &nftables.Chain{Table: table, Name: guardChain}
	}
	sets := newGuardSets(table)
	rules, errRules := conn.GetRules(table, chain)
	segments, errSegments := readElements(conn, sets.segments)
	members4, err4 := readElements(conn, sets.members4)
	members6, err6 := readElements(conn, sets.members6)
	// What cannot be read, such as a set that is gone, is made anew.
	intact = errors.Join(errChain, errRules, errSegments, err4, err6) == nil && isGuardChain(chain, rules)
	return guardElements{segments: segments, members4: members4, members6: members6}, true, intact, nil
}

func readElements(conn *nftables.Conn, set *nftables.Set) (map[string]bool, error) {
	elements, err := conn.GetSetElements(set)
	keys := make(map[string]bool, len(elements))
	for _, element := range elements {
		keys[string(element.Key)] = true
	}
	return keys, err
}
