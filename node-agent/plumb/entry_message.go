package plumb

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Offsets in struct ndmsg (uapi/linux/neighbour.h), and its length.
const (
	ndmIfindex = 4
	ndmState   = 8
	ndmFlags   = 10
	ndmLength  = 12
)

func entryHeader(family uint8, index int, state uint16, flags uint8) []byte {
	m := make([]byte, ndmLength, 64)
	m[0] = family
	binary.NativeEndian.PutUint32(m[ndmIfindex:], uint32(index))
	binary.NativeEndian.PutUint16(m[ndmState:], state)
	m[ndmFlags] = flags
	return m
}

// entryFilter asks for the entries of one link. The kernel takes the index of the link from elsewhere in each family.
func entryFilter(family uint8, index int) []byte {
	if family == unix.AF_BRIDGE {
		return entryHeader(family, index, 0, 0)
	}
	return appendAttribute(entryHeader(family, 0, 0, 0), unix.NDA_IFINDEX, binary.NativeEndian.AppendUint32(nil, uint32(index)))
}

func writeEntry(e Entry, index int) []byte {
	family, flags, to := uint8(unix.AF_BRIDGE), uint8(unix.NTF_SELF), e.Via
	if !e.Via.IsValid() {
		family, flags, to = addressFamily(e.Addr), 0, e.Addr
	}
	m := entryHeader(family, index, unix.NUD_PERMANENT, flags)
	if to.Is4() {
		address := to.As4()
		m = appendAttribute(m, unix.NDA_DST, address[:])
	} else {
		address := to.As16()
		m = appendAttribute(m, unix.NDA_DST, address[:])
	}
	return appendAttribute(m, unix.NDA_LLADDR, e.MAC[:])
}

func addressFamily(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func appendAttribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, value...)
	for len(m)%unix.RTA_ALIGNTO != 0 {
		m = append(m, 0)
	}
	return m
}

// readEntry returns false for what nobody programmed, such as the kernel's own neighbours for multicast groups.
func readEntry(m []byte) (e Entry, ok bool) {
	if len(m) < ndmLength {
		return Entry{}, false
	}
	var to netip.Addr
	var hasMAC bool
	for rest := m[ndmLength:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			return Entry{}, false
		}
		value := rest[unix.SizeofRtAttr:length]
		switch binary.NativeEndian.Uint16(rest[2:]) {
		case unix.NDA_DST:
			to, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			hasMAC = copy(e.MAC[:], value) == len(e.MAC)
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	if m[0] == unix.AF_BRIDGE {
		e.Via = to
		return e, hasMAC && to.IsValid()
	}
	e.Addr = to
	return e, hasMAC && to.IsValid() && binary.NativeEndian.Uint16(m[ndmState:])&unix.NUD_PERMANENT != 0
}
