package qos

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// Offsets in a frame, and what a word is that was loaded from two bytes of it.
const (
	ipv4TOS      = frameHeader + 1
	ipv4Checksum = frameHeader + 10
	ipv4Header   = 20
)

var (
	typeIPv4 = int32(binary.NativeEndian.Uint16([]byte{0x08, 0x00}))
	typeIPv6 = int32(binary.NativeEndian.Uint16([]byte{0x86, 0xdd}))
	// wordTOS moves a type of service to where it is in the first two bytes of an IPv4 header, and wordOther keeps the rest.
	wordOther = int32(binary.NativeEndian.Uint16([]byte{0xff, 0x00}))
	wordTOS   = int32(8)
)

func init() {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		wordTOS = 0
	}
}

// guardDSCPs writes the DSCP into what is IP and has another, and leaves the two bits of congestion notification.
func guardDSCPs() asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R8, asm.R7, guardDSCP, asm.Word).WithSymbol("dscp"),
		asm.JEq.Imm(asm.R8, 0, "pass"),
		asm.Sub.Imm(asm.R8, 1),
		asm.LoadMem(asm.R2, asm.R6, skbData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, frameHeader+ipv4Header),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, frameType, asm.Half),
		asm.JEq.Imm(asm.R4, typeIPv4, "ipv4"),
		asm.JEq.Imm(asm.R4, typeIPv6, "ipv6"),
		asm.Ja.Label("pass"),
	}
	return append(append(code, guardIPv4()...), guardIPv6()...)
}

// guardIPv4 has the DSCP in R8 and the frame in R2. The checksum is corrected by the difference.
func guardIPv4() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R9, asm.R2, ipv4TOS, asm.Byte).WithSymbol("ipv4"),
		asm.LSh.Imm(asm.R8, 2),
		asm.Mov.Reg(asm.R1, asm.R9),
		asm.And.Imm(asm.R1, 3),
		asm.Or.Reg(asm.R8, asm.R1),
		asm.JEq.Reg(asm.R8, asm.R9, "pass"),
		asm.StoreMem(asm.RFP, -8, asm.R8, asm.Byte),
		asm.LoadMem(asm.R3, asm.R2, frameHeader, asm.Half),
		asm.Mov.Reg(asm.R4, asm.R3),
		asm.And.Imm(asm.R4, wordOther),
		asm.LSh.Imm(asm.R8, wordTOS),
		asm.Or.Reg(asm.R4, asm.R8),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, ipv4Checksum),
		asm.Mov.Imm(asm.R5, 2),
		asm.FnL3CsumReplace.Call(),
		asm.Mov.Imm(asm.R2, ipv4TOS),
		asm.Mov.Imm(asm.R4, 1),
		asm.Ja.Label("store"),
	}
}

// guardIPv6 has the same; the traffic class lies across two bytes: 4 bits of version, 8 of class, 4 of the flow label.
func guardIPv6() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R9, asm.R2, frameHeader+1, asm.Byte).WithSymbol("ipv6"),
		asm.And.Imm(asm.R9, 0x3f),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.And.Imm(asm.R1, 3),
		asm.LSh.Imm(asm.R1, 6),
		asm.Or.Reg(asm.R9, asm.R1),
		asm.RSh.Imm(asm.R8, 2),
		asm.Or.Imm(asm.R8, 0x60),
		asm.StoreMem(asm.RFP, -8, asm.R8, asm.Byte),
		asm.StoreMem(asm.RFP, -7, asm.R9, asm.Byte),
		asm.Mov.Imm(asm.R2, frameHeader),
		asm.Mov.Imm(asm.R4, 2),

		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("store"),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
	}
}
