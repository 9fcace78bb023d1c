package plumb

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
)

var (
	testMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	otherMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	address4 = netip.MustParseAddr("10.20.0.5")
	address6 = netip.MustParseAddr("fd00:20::5")
)

// The frames as tcpdump shows those of arping -D, arping -U, the kernel's duplicate detection and ndsend.
func TestFrames(t *testing.T) {
	for name, test := range map[string]struct {
		frame []byte
		want  string
	}{
		"ARP probe": {arpProbe(testMAC, address4),
			"ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 00000000 000000000000 0a140005"},
		"ARP announcement": {arpAnnouncement(testMAC, address4),
			"ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a140005 000000000000 0a140005"},
		"neighbour solicitation": {nsProbe(testMAC, address6),
			"3333ff000005 020000000001 86dd 60000000 0018 3a ff" +
				"00000000000000000000000000000000 ff0200000000000000000001ff000005" +
				"87 00 7d7d 00000000 fd000020000000000000000000000005"},
		"neighbour advertisement": {naAnnouncement(testMAC, address6),
			"333300000001 020000000001 86dd 60000000 0020 3a ff" +
				"fd000020000000000000000000000005 ff020000000000000000000000000001" +
				"88 00 5a53 20000000 fd000020000000000000000000000005 0201 020000000001"},
	} {
		if got := hex.EncodeToString(test.frame); got != strings.ReplaceAll(test.want, " ", "") {
			t.Errorf("%s:\n got %s\nwant %s", name, got, strings.ReplaceAll(test.want, " ", ""))
		}
	}
}

func TestConflicts(t *testing.T) {
	question := neighbourFrame(otherMAC, netip.MustParseAddr("fd00:20::9"), solicitedNode(address6), neighbourBody(neighbourSolicitation, address6))
	broken := naAnnouncement(otherMAC, address6)
	broken[len(broken)-1] ^= 1
	routed := naAnnouncement(otherMAC, address6)
	routed[etherHeader+7] = 64
	for name, test := range map[string]struct {
		conflict func([]byte, net.HardwareAddr) (Conflict, bool)
		frame    []byte
		want     bool
	}{
		"ARP answer":                   {arpConflict, arpFrame(arpMessage{arpReply, otherMAC, address4, netip.IPv4Unspecified()}), true},
		"ARP probe of another":         {arpConflict, arpProbe(otherMAC, address4), true},
		"ARP announcement of another":  {arpConflict, arpAnnouncement(otherMAC, address4), true},
		"own ARP probe":                {arpConflict, arpProbe(testMAC, address4), false},
		"too short":                    {arpConflict, arpProbe(otherMAC, address4)[:etherHeader+arpLength-1], false},
		"IPv6 is not ARP":              {arpConflict, naAnnouncement(otherMAC, address6), false},
		"neighbour answer":             {neighbourConflict, naAnnouncement(otherMAC, address6), true},
		"neighbour probe of another":   {neighbourConflict, nsProbe(otherMAC, address6), true},
		"own neighbour probe":          {neighbourConflict, nsProbe(testMAC, address6), false},
		"question of another":          {neighbourConflict, question, false},
		"wrong checksum":               {neighbourConflict, broken, false},
		"not from this segment":        {neighbourConflict, routed, false},
		"ARP is no neighbour's answer": {neighbourConflict, arpProbe(otherMAC, address4), false},
	} {
		conflict, got := test.conflict(test.frame, testMAC)
		if got != test.want {
			t.Errorf("%s: conflict %v, want %v", name, got, test.want)
		}
		if want := map[bool]netip.Addr{true: address4, false: address6}[conflict.Addr.Is4()]; got && (conflict.Addr != want || conflict.MAC.String() != otherMAC.String()) {
			t.Errorf("%s: conflict %+v", name, conflict)
		}
	}
	// Somebody who talks from another address with the same link is none who has ours: the address must be the one asked for.
	if conflict, ok := arpConflict(arpAnnouncement(otherMAC, netip.MustParseAddr("10.20.0.6")), testMAC); !ok || conflict.Addr == address4 {
		t.Errorf("conflict %+v", conflict)
	}
}

func neighbourBody(kind byte, target netip.Addr) []byte {
	body := make([]byte, neighbourLength)
	body[0] = kind
	copy(body[8:], target.AsSlice())
	return body
}

// Whatever a segment sends, parsing does not fail, and what is parsed from our own frames is what was put in.
func FuzzConflicts(f *testing.F) {
	for _, frame := range [][]byte{arpProbe(otherMAC, address4), arpAnnouncement(otherMAC, address4), nsProbe(otherMAC, address6), naAnnouncement(otherMAC, address6)} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := arpConflict(frame, testMAC); ok && (!c.Addr.Is4() || len(c.MAC) != 6 || string(c.MAC) == string(testMAC)) {
			t.Errorf("ARP conflict %+v", c)
		}
		if c, ok := neighbourConflict(frame, testMAC); ok && (!c.Addr.Is6() || len(c.MAC) != 6 || string(c.MAC) == string(testMAC)) {
			t.Errorf("neighbour conflict %+v", c)
		}
	})
}

func TestVLANName(t *testing.T) {
	names := map[string]string{}
	for _, uplink := range []string{"eth1", "eth10", "enp129s0f1np1", "enp129s0f1np2", "abcdefghijklmno"} {
		for _, id := range []int{1, 100, 4094} {
			name := VLANName(uplink, id)
			if len(name) > maxInterfaceName || names[name] != "" {
				t.Errorf("VLAN %d of %s is named %q, which is too long or that of %s", id, uplink, name, names[name])
			}
			names[name] = uplink
		}
	}
	if got := VLANName("eth1", 100); got != "eth1.100" {
		t.Errorf("got %q", got)
	}
}
