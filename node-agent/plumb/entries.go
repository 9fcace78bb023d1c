package plumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// MAC of a pod's interface.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Entry is one thing that a VXLAN link is told about a pod on another node. Either Via or Addr is valid.
type Entry struct {
	MAC MAC
	// Via is the node to which frames for the MAC go.
	Via netip.Addr
	// Addr is one of the pod's addresses, for which the link answers with the MAC.
	Addr netip.Addr
}

func (e Entry) String() string {
	if e.Via.IsValid() {
		return fmt.Sprintf("MAC %s on node %s", e.MAC, e.Via)
	}
	return fmt.Sprintf("address %s at MAC %s", e.Addr, e.MAC)
}

// Entries lists what a VXLAN link of ours has been told, by whomever, neighbours that the kernel learned left out. The order is
// that of the kernel. An entry that changes meanwhile may be missing or stand twice.
func Entries(node *kernel.Namespace, index int) ([]Entry, error) {
	var all []Entry
	for _, family := range []uint8{unix.AF_BRIDGE, unix.AF_INET, unix.AF_INET6} {
		list, err := kernel.Dump(func() (found []Entry, err error) {
			err = node.List(unix.RTM_GETNEIGH, entryFilter(family, index), func(body []byte) error {
				if e, ok := readEntry(body); ok {
					found = append(found, e)
				}
				return nil
			})
			return found, err
		})
		// A link that is gone, and a kernel without IPv6, have no entries.
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, fmt.Errorf("list the entries of link %d: %w", index, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// EntryError tells which entries the kernel did not take. All others are programmed.
type EntryError struct {
	Failed []FailedEntry
}

// FailedEntry is one of them.
type FailedEntry struct {
	Entry
	// Removing tells that the entry stays where it should go.
	Removing bool
	Err      error
}

func (e *EntryError) Error() string {
	first := e.Failed[0]
	verb := "add"
	if first.Removing {
		verb = "remove"
	}
	return fmt.Sprintf("the kernel refused %d entries, among them: %s %s: %v", len(e.Failed), verb, first.Entry, first.Err)
}

// Unwrap returns the errors of all entries.
func (e *EntryError) Unwrap() (all []error) {
	for _, f := range e.Failed {
		all = append(all, f.Err)
	}
	return all
}

// Program adds entries to a VXLAN link and then removes others. An entry that is added takes the place of one for the same
// MAC or address; adding what is there and removing what is not there succeed. All entries are tried. The error is an
// *EntryError, or one that leaves open what was done: compare with Entries then.
func Program(node *kernel.Namespace, index int, add, remove []Entry) error {
	remove = withoutReplaced(remove, add)
	messages := make([]kernel.Message, 0, len(add)+len(remove))
	for _, e := range add {
		messages = append(messages, kernel.Message{Type: unix.RTM_NEWNEIGH, Flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, Body: writeEntry(e, index)})
	}
	for _, e := range remove {
		messages = append(messages, kernel.Message{Type: unix.RTM_DELNEIGH, Body: writeEntry(e, index)})
	}
	refused, err := node.Batch(messages)
	if err != nil {
		return fmt.Errorf("program link %d: %w", index, err)
	}
	var failed []FailedEntry
	for _, r := range refused {
		removing := r.Index >= len(add)
		switch {
		case !removing:
			failed = append(failed, FailedEntry{Entry: add[r.Index], Err: r.Err})
		case !errors.Is(r.Err, unix.ENOENT) && !errors.Is(r.Err, unix.ENODEV):
			failed = append(failed, FailedEntry{Entry: remove[r.Index-len(add)], Removing: true, Err: r.Err})
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("program link %d: %w", index, &EntryError{Failed: failed})
	}
	return nil
}

// withoutReplaced leaves out neighbours whose address is added with another MAC: the kernel removes them by the address
// alone. A MAC it removes only together with its node.
func withoutReplaced(remove, add []Entry) []Entry {
	if len(remove) == 0 || len(add) == 0 {
		return remove
	}
	added := make(map[netip.Addr]bool, len(add))
	for _, e := range add {
		added[e.Addr] = e.Addr.IsValid()
	}
	kept := make([]Entry, 0, len(remove))
	for _, e := range remove {
		if !added[e.Addr] {
			kept = append(kept, e)
		}
	}
	return kept
}
