package plumb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// ErrNoGuardSupport tells that the kernel of the node lacks nftables.
var ErrNoGuardSupport = errors.New("the node's kernel has no nftables, which keep other machines from sending into overlays: load the module nf_tables")

// Guard lets only the members of an overlay send into it. VXLAN itself takes packets from any machine.
type Guard struct {
	VNI int
	// Port is the UDP port.
	Port int
	// Members are the addresses of the other nodes that have pods on the overlay.
	Members []netip.Addr
}

// EnsureGuards makes the table "inet multinet" hold exactly these guards: it is left alone where it does, and otherwise
// replaced in one transaction, without a moment between the old and the new one. With no guards the table is removed.
// Tables of others are not looked at. It must not run concurrently with itself or UpdateGuard.
func EnsureGuards(node *kernel.Namespace, guards []Guard) error {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()), nftables.WithSockOptions(roomForGuards))
	if err != nil {
		return explainGuard(err)
	}
	want := newGuardElements(guards)
	present, found, intact, err := readGuards(conn)
	if err := explainGuard(err); err != nil {
		if len(guards) == 0 && errors.Is(err, ErrNoGuardSupport) {
			return nil
		}
		return err
	}
	if len(guards) == 0 && !found || len(guards) > 0 && intact && present.equal(want) {
		return nil
	}
	// A table must be there to be removed.
	table := conn.AddTable(&nftables.Table{Name: guardTable, Family: nftables.TableFamilyINet})
	conn.DelTable(table)
	if len(guards) > 0 {
		if err := writeGuards(conn, want); err != nil {
			return explainGuard(err)
		}
	}
	return explainGuard(conn.Flush())
}

// UpdateGuard changes the members of one overlay that EnsureGuards has made, in one transaction. Adding who is a member and
// removing who is none succeed. The error is ENOENT where the table is not there.
func UpdateGuard(node *kernel.Namespace, vni int, add, remove []netip.Addr) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()), nftables.WithSockOptions(roomForGuards))
	if err != nil {
		return explainGuard(err)
	}
	sets := newGuardSets(guardTableRef())
	// The kernel refuses to remove what is not there, so that it is added first; nobody sees a transaction half done.
	added := newGuardElements([]Guard{{VNI: vni, Members: add}, {VNI: vni, Members: remove}})
	removed := newGuardElements([]Guard{{VNI: vni, Members: remove}})
	if err := errors.Join(
		addElements(conn, sets.members4, added.members4), deleteElements(conn, sets.members4, removed.members4),
		addElements(conn, sets.members6, added.members6), deleteElements(conn, sets.members6, removed.members6),
	); err != nil {
		return explainGuard(err)
	}
	return explainGuard(conn.Flush())
}

func explainGuard(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("guard of overlays: %w", ErrNoGuardSupport)
	}
	return fmt.Errorf("guard of overlays: nftables table inet %s: %w", guardTable, err)
}
