package plumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// podEntries are those of n pods on other nodes, with addresses of both families.
func podEntries(n int, via func(i int) netip.Addr) (all []Entry) {
	for i := range n {
		mac := MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}
		all = append(all,
			Entry{MAC: mac, Via: via(i)},
			Entry{MAC: mac, Addr: netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)})},
			Entry{MAC: mac, Addr: netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})})
	}
	return all
}

func twentyNodes(first netip.Addr) func(int) netip.Addr {
	return func(i int) netip.Addr {
		a := first
		for range i%20 + 1 {
			a = a.Next()
		}
		return a
	}
}

func wantEntries(t *testing.T, node *kernel.Namespace, index int, want []Entry) {
	t.Helper()
	got, err := Entries(node, index)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[Entry]bool, len(want))
	for _, e := range want {
		left[e] = true
	}
	for _, e := range got {
		if !left[e] {
			t.Errorf("link %d has an entry that it should not have, or has it twice: %s", index, e)
		}
		delete(left, e)
	}
	for e := range left {
		t.Errorf("link %d lacks: %s", index, e)
	}
}

func program(t *testing.T, node *kernel.Namespace, index int, add, remove []Entry) {
	t.Helper()
	if err := Program(node, index, add, remove); err != nil {
		t.Fatal(err)
	}
}

// Thousands of entries are there, and go, whatever was there before; the link beside it keeps its own.
func TestProgram(t *testing.T) {
	for _, overlay := range []struct{ local netip.Addr }{{rack1.Local}, {rack1b.Local}} {
		node := overlayNode(t)
		one, other := rack1, rack1
		one.Local, other.Local, other.VNI = overlay.local, overlay.local, 6000
		first, _ := ensured(t, node, one)
		second, _ := ensured(t, node, other)
		theirs := podEntries(3, twentyNodes(overlay.local))
		program(t, node, second.Index, theirs, nil)
		wantEntries(t, node, first.Index, nil)

		all := podEntries(2000, twentyNodes(overlay.local))
		program(t, node, first.Index, all, nil)
		wantEntries(t, node, first.Index, all)
		program(t, node, first.Index, all, nil)
		wantEntries(t, node, first.Index, all)
		program(t, node, first.Index, nil, all[3000:])
		program(t, node, first.Index, nil, all[3000:])
		wantEntries(t, node, first.Index, all[:3000])
		program(t, node, first.Index, all[3000:], all[:3000])
		wantEntries(t, node, first.Index, all[3000:])
		wantEntries(t, node, second.Index, theirs)

		// A link that is made anew has nothing.
		if err := RemoveLink(node, first.Index); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, node, first.Index, nil)
		program(t, node, first.Index, nil, all)
		anew, _ := ensured(t, node, one)
		wantEntries(t, node, anew.Index, nil)
		program(t, node, anew.Index, all, nil)
		wantEntries(t, node, anew.Index, all)
	}
}

// A pod that moves to another node, and an address that another pod has now, are one change, in which what is new wins.
func TestProgramReplaces(t *testing.T) {
	node := overlayNode(t)
	link, _ := ensured(t, node, rack1)
	before := podEntries(1, func(int) netip.Addr { return rack1.Local.Next() })
	program(t, node, link.Index, before, nil)
	moved := podEntries(1, func(int) netip.Addr { return rack1.Local.Next().Next() })
	program(t, node, link.Index, moved[:1], before[:1])
	wantEntries(t, node, link.Index, moved)

	taken := []Entry{{MAC: MAC{2, 0, 0, 0, 9, 9}, Addr: moved[1].Addr}, {MAC: MAC{2, 0, 0, 0, 9, 9}, Addr: moved[2].Addr}}
	program(t, node, link.Index, taken, moved)
	wantEntries(t, node, link.Index, taken)
}

// Each refusal is told with the entry that it is about, and all others are programmed.
func TestProgramTellsWhatWasRefused(t *testing.T) {
	node := overlayNode(t)
	link, _ := ensured(t, node, rack1)
	all := podEntries(300, twentyNodes(rack1.Local))
	wrong := []Entry{{MAC: MAC{2, 0, 0, 0, 9, 1}, Via: rack1b.Local.Next()}, {MAC: MAC{2, 0, 0, 0, 9, 2}, Via: rack1b.Local.Next()}}
	mixed := append(append(append([]Entry{}, all[:100]...), wrong...), all[100:]...)
	err := Program(node, link.Index, mixed, nil)
	var failed *EntryError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 {
		t.Fatalf("error %v, want two entries that an IPv4 overlay cannot have", err)
	}
	for i, f := range failed.Failed {
		if f.Entry != wrong[i] || f.Err == nil || f.Removing || !errors.Is(err, f.Err) {
			t.Errorf("failed %+v, want %v", f, wrong[i])
		}
	}
	if text := err.Error(); !strings.Contains(text, "refused 2 entries") || !strings.Contains(text, "add MAC 02:00:00:00:09:01 on node fd00:7::2") {
		t.Errorf("text %q", text)
	}
	wantEntries(t, node, link.Index, all)

	if err := RemoveLink(node, link.Index); err != nil {
		t.Fatal(err)
	}
	if err := Program(node, link.Index, all[:3], nil); !errors.Is(err, unix.ENODEV) {
		t.Errorf("error %v of a link that is gone, want ENODEV", err)
	}
}

// What others programmed by hand is told, so that it can be removed; what the kernel learned is not.
func TestEntriesOfOthers(t *testing.T) {
	node := overlayNode(t)
	link, _ := ensured(t, node, rack1)
	flood := Entry{Via: rack1.Local.Next()}
	static := Entry{MAC: MAC{2, 0, 0, 0, 9, 9}, Via: rack1.Local.Next()}
	for _, n := range []*netlink.Neigh{
		{Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT, IP: flood.Via.AsSlice(), HardwareAddr: make(net.HardwareAddr, 6)},
		{Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_NOARP | netlink.NUD_REACHABLE, IP: static.Via.AsSlice(), HardwareAddr: static.MAC[:]},
		{Family: unix.AF_INET, State: netlink.NUD_STALE, IP: net.IP{10, 20, 9, 9}, HardwareAddr: static.MAC[:]},
	} {
		n.LinkIndex = link.Index
		if err := node.Handle().NeighAppend(n); err != nil {
			t.Fatal(fmt.Errorf("%+v: %w", n, err))
		}
	}
	wantEntries(t, node, link.Index, []Entry{flood, static})
	program(t, node, link.Index, nil, []Entry{flood, static})
	wantEntries(t, node, link.Index, nil)
}
