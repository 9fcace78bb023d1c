package plumb

import (
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	ipv6Header = 40
	icmpv6     = 58
	hopLimit   = 255 // a neighbour's packet; a router would have taken one off

	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	neighbourLength        = 24 // up to the options

	optionTargetMAC = 2
	flagOverride    = 0x20
)

var allNodes = netip.MustParseAddr("ff02::1")

// neighbourMessage is a neighbour solicitation or advertisement, RFC 4861.
type neighbourMessage struct {
	kind      byte
	source    netip.Addr
	target    netip.Addr
	senderMAC net.HardwareAddr
}

// nsProbe asks who has an address without claiming it, RFC 4862 section 5.4.2: the source is unspecified.
func nsProbe(mac net.HardwareAddr, target netip.Addr) []byte {
	body := make([]byte, neighbourLength)
	body[0] = neighbourSolicitation
	copy(body[8:], target.AsSlice())
	return neighbourFrame(mac, netip.IPv6Unspecified(), solicitedNode(target), body)
}

// naAnnouncement tells neighbours that an address is now at a MAC, RFC 4861 section 7.2.6.
func naAnnouncement(mac net.HardwareAddr, address netip.Addr) []byte {
	body := make([]byte, neighbourLength, neighbourLength+8)
	body[0] = neighbourAdvertisement
	body[4] = flagOverride
	copy(body[8:], address.AsSlice())
	body = append(body, optionTargetMAC, 1)
	body = append(body, mac...)
	return neighbourFrame(mac, address, allNodes, body)
}

func neighbourFrame(mac net.HardwareAddr, source, destination netip.Addr, body []byte) []byte {
	binary.BigEndian.PutUint16(body[2:], icmpChecksum(source, destination, body))
	frame := etherFrame(multicastMAC(destination), mac, etherTypeIPv6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(body)))
	frame = append(frame, icmpv6, hopLimit)
	frame = append(frame, source.AsSlice()...)
	frame = append(frame, destination.AsSlice()...)
	return append(frame, body...)
}

// parseNeighbour returns false for whatever is not a solicitation or advertisement of a neighbour.
func parseNeighbour(frame []byte) (neighbourMessage, bool) {
	if len(frame) < etherHeader+ipv6Header+neighbourLength || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 {
		return neighbourMessage{}, false
	}
	ip, body := frame[etherHeader:], frame[etherHeader+ipv6Header:]
	if ip[0]>>4 != 6 || ip[6] != icmpv6 || ip[7] != hopLimit || body[1] != 0 {
		return neighbourMessage{}, false
	}
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if length < neighbourLength || length > len(body) || body[0] != neighbourSolicitation && body[0] != neighbourAdvertisement {
		return neighbourMessage{}, false
	}
	m := neighbourMessage{
		kind:      body[0],
		source:    netip.AddrFrom16([16]byte(ip[8:])),
		target:    netip.AddrFrom16([16]byte(body[8:])),
		senderMAC: net.HardwareAddr(append([]byte(nil), frame[6:12]...)),
	}
	valid := icmpChecksum(m.source, netip.AddrFrom16([16]byte(ip[24:])), body[:length]) == 0
	return m, valid
}

// neighbourConflict returns the address that another host has, or probes for at this moment, RFC 4862 section 5.4.3.
// A solicitation with a source is only the question of somebody who wants to talk to the address.
func neighbourConflict(frame []byte, own net.HardwareAddr) (Conflict, bool) {
	m, ok := parseNeighbour(frame)
	if !ok || string(m.senderMAC) == string(own) || m.kind == neighbourSolicitation && !m.source.IsUnspecified() {
		return Conflict{}, false
	}
	return Conflict{Addr: m.target, MAC: m.senderMAC}, true
}

// solicitedNode is the multicast group that a host joins for its address, RFC 4291 section 2.7.1.
func solicitedNode(addr netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	bytes := addr.As16()
	copy(group[13:], bytes[13:])
	return netip.AddrFrom16(group)
}

// multicastMAC is the Ethernet group of an IPv6 multicast address, RFC 2464 section 7.
func multicastMAC(group netip.Addr) net.HardwareAddr {
	bytes := group.As16()
	return net.HardwareAddr{0x33, 0x33, bytes[12], bytes[13], bytes[14], bytes[15]}
}

// icmpChecksum is the checksum over pseudo header and body, RFC 8200 section 8.1; it is 0 over a body that holds the
// right one.
func icmpChecksum(source, destination netip.Addr, body []byte) uint16 {
	sum := uint32(len(body)) + icmpv6
	for _, part := range [][]byte{source.AsSlice(), destination.AsSlice(), body} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
		if len(part)%2 == 1 {
			sum += uint32(part[len(part)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
