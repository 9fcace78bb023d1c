package plumb

import (
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// Guards lists what the table "inet multinet" holds, in the order of the VNIs: nothing where there is no such table, or one
// that EnsureGuards would replace.
func Guards(node *kernel.Namespace) ([]Guard, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()), nftables.WithSockOptions(roomForGuards))
	if err != nil {
		return nil, explainGuard(err)
	}
	e, _, intact, err := readGuards(conn)
	err = explainGuard(err)
	if err != nil || !intact {
		if errors.Is(err, ErrNoGuardSupport) {
			err = nil
		}
		return nil, err
	}
	return e.guards(), nil
}

// guards reads the keys back. Their form is that of newGuardElements.
func (e guardElements) guards() []Guard {
	byVNI := map[int]*Guard{}
	for key := range e.segments {
		g := &Guard{Port: int(key[0])<<8 | int(key[1]), VNI: vniOf(key[4:])}
		byVNI[g.VNI] = g
	}
	for _, members := range []map[string]bool{e.members4, e.members6} {
		for key := range members {
			if g := byVNI[vniOf(key)]; g != nil {
				member, _ := netip.AddrFromSlice([]byte(key[4:]))
				g.Members = append(g.Members, member)
			}
		}
	}
	list := make([]Guard, 0, len(byVNI))
	for _, vni := range slices.Sorted(maps.Keys(byVNI)) {
		slices.SortFunc(byVNI[vni].Members, netip.Addr.Compare)
		list = append(list, *byVNI[vni])
	}
	return list
}

func vniOf(key string) int { return int(key[0])<<16 | int(key[1])<<8 | int(key[2]) }
