package qos

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// mac is the key of all tables: the six bytes as they stand in a frame, and two of zero.
type mac [8]byte

func newMAC(address plan.HardwareAddr) (m mac) {
	copy(m[:6], address)
	return m
}

// halves are the two parts that a program loads from a frame.
func (m mac) halves() (first uint32, last uint16) {
	return binary.NativeEndian.Uint32(m[:4]), binary.NativeEndian.Uint16(m[4:6])
}

// fileName is the MAC without colons: a bpffs allows no dots, and this is shorter.
func (m mac) fileName() string { return hex.EncodeToString(m[:6]) }
