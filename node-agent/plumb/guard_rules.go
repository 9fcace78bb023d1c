package plumb

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// guardVersion marks the rules of the table. It changes with them, so that those of a former version are replaced.
const guardVersion = "multinet-1"

// Registers of four bytes; keys of several parts lie one behind the other.
const (
	reg0 = unix.NFT_REG32_00
	reg1 = unix.NFT_REG32_01
)

// Where things are, from the beginning of the UDP header, the IPv4 and the IPv6 header.
const (
	udpPort  = 2
	vxlanVNI = 8 + 4
	source4  = 12
	source6  = 8
)

// guardRules drop what is for a segment of ours and not from a member. IPv4 packets are whole at this place. IPv6 fragments
// are not put together yet: of a first fragment that does not reach as far as the VNI nothing can be said, and nobody sends
// one but to get around this. Those that follow are of no use without their first.
func guardRules(sets guardSets) [][]expr.Any {
	drop := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
	accept := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	foreign4 := rule(udp(unix.NFPROTO_IPV4), inSegment(sets), notFrom(sets.members4, source4, 4), drop)
	foreign6 := rule(udp(unix.NFPROTO_IPV6), inSegment(sets), notFrom(sets.members6, source6, 16), drop)
	readable := rule(firstFragment(), []expr.Any{load(reg0, expr.PayloadBaseTransportHeader, vxlanVNI, 3)}, accept)
	unreadable := rule(firstFragment(), drop)
	return [][]expr.Any{foreign4, foreign6, readable, unreadable}
}

func rule(parts ...[]expr.Any) (all []expr.Any) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func load(register uint32, base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: base, Offset: offset, Len: length}
}

func isByte(value byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{value}}
}

func udp(family byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg0}, isByte(family),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, isByte(unix.IPPROTO_UDP),
	}
}

// inSegment ends a rule for packets with another port or VNI.
func inSegment(sets guardSets) []expr.Any {
	return []expr.Any{
		load(reg0, expr.PayloadBaseTransportHeader, udpPort, 2),
		load(reg1, expr.PayloadBaseTransportHeader, vxlanVNI, 3),
		lookup(sets.segments, false),
	}
}

// notFrom ends a rule for packets from members.
func notFrom(members *nftables.Set, source, length uint32) []expr.Any {
	return []expr.Any{
		load(reg0, expr.PayloadBaseTransportHeader, vxlanVNI, 3),
		load(reg1, expr.PayloadBaseNetworkHeader, source, length),
		lookup(members, true),
	}
}

func lookup(set *nftables.Set, invert bool) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, SetName: set.Name, SetID: set.ID, Invert: invert}
}

// Fields of the IPv6 fragment header, RFC 8200 section 4.5: the offset in the upper 13 bits, and whether more follow.
const (
	fragmentHeader = 44
	fragmentOffset = 2
)

var (
	fragmentMask  = []byte{0xff, 0xf9}
	fragmentFirst = []byte{0x00, 0x01}
)

// firstFragment ends a rule for packets that are whole and for later fragments.
func firstFragment() []expr.Any {
	return append(udp(unix.NFPROTO_IPV6),
		&expr.Exthdr{DestRegister: reg0, Type: fragmentHeader, Offset: fragmentOffset, Len: 2, Op: expr.ExthdrOpIpv6},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 2, Mask: fragmentMask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: fragmentFirst},
	)
}

// isGuardChain tells whether a chain and its rules are as this version makes them.
func isGuardChain(chain *nftables.Chain, rules []*nftables.Rule) bool {
	if chain.Hooknum == nil || *chain.Hooknum != *nftables.ChainHookInput || chain.Priority == nil || *chain.Priority != *nftables.ChainPriorityRaw {
		return false
	}
	for _, r := range rules {
		if string(r.UserData) != guardVersion {
			return false
		}
	}
	return len(rules) == len(guardRules(newGuardSets(chain.Table)))
}
