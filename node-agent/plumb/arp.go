package plumb

import (
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	etherHeader = 14
	arpLength   = 28

	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd

	arpRequest = 1
	arpReply   = 2
)

var (
	broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	zeroMAC      = make(net.HardwareAddr, 6)
)

// arpMessage is an ARP packet for IPv4 over Ethernet.
type arpMessage struct {
	operation uint16
	senderMAC net.HardwareAddr
	sender    netip.Addr
	target    netip.Addr
}

// arpProbe asks who has an address without claiming it, RFC 5227 section 2.1.1: the sender's address is zero.
func arpProbe(mac net.HardwareAddr, target netip.Addr) []byte {
	return arpFrame(arpMessage{arpRequest, mac, netip.IPv4Unspecified(), target})
}

// arpAnnouncement tells neighbours and switches that an address is now at a MAC, RFC 5227 section 2.3.
func arpAnnouncement(mac net.HardwareAddr, address netip.Addr) []byte {
	return arpFrame(arpMessage{arpRequest, mac, address, address})
}

func arpFrame(m arpMessage) []byte {
	frame := etherFrame(broadcastMAC, m.senderMAC, etherTypeARP)
	frame = binary.BigEndian.AppendUint16(frame, 1)      // Ethernet
	frame = binary.BigEndian.AppendUint16(frame, 0x0800) // IPv4
	frame = append(frame, 6, 4)
	frame = binary.BigEndian.AppendUint16(frame, m.operation)
	frame = append(frame, m.senderMAC...)
	frame = append(frame, m.sender.AsSlice()...)
	frame = append(frame, zeroMAC...)
	return append(frame, m.target.AsSlice()...)
}

// parseARP returns false for whatever is not ARP for IPv4 over Ethernet.
func parseARP(frame []byte) (arpMessage, bool) {
	if len(frame) < etherHeader+arpLength || binary.BigEndian.Uint16(frame[12:]) != etherTypeARP {
		return arpMessage{}, false
	}
	arp := frame[etherHeader:]
	if [6]byte(arp) != [6]byte{0, 1, 8, 0, 6, 4} {
		return arpMessage{}, false
	}
	return arpMessage{
		operation: binary.BigEndian.Uint16(arp[6:]),
		senderMAC: net.HardwareAddr(append([]byte(nil), arp[8:14]...)),
		sender:    netip.AddrFrom4([4]byte(arp[14:])),
		target:    netip.AddrFrom4([4]byte(arp[24:])),
	}, true
}

// arpConflict returns the address that another host has, or probes for at this moment, RFC 5227 section 2.1.1.
func arpConflict(frame []byte, own net.HardwareAddr) (Conflict, bool) {
	m, ok := parseARP(frame)
	if !ok || string(m.senderMAC) == string(own) {
		return Conflict{}, false
	}
	if m.sender.IsUnspecified() && m.operation == arpRequest {
		return Conflict{Addr: m.target, MAC: m.senderMAC}, true
	}
	return Conflict{Addr: m.sender, MAC: m.senderMAC}, true
}

func etherFrame(destination, source net.HardwareAddr, etherType uint16) []byte {
	frame := make([]byte, 0, 96)
	frame = append(frame, destination...)
	frame = append(frame, source...)
	return binary.BigEndian.AppendUint16(frame, etherType)
}
