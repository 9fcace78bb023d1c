package qos

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Where things are in struct __sk_buff (linux/bpf.h), struct bpf_sock, and an Ethernet frame.
const (
	skbLength   = 0
	skbMark     = 8
	skbPriority = 32
	skbIndex    = 44
	skbData     = 76
	skbDataEnd  = 80
	skbSocket   = 168
	sockFamily  = 4

	frameDestination = 0
	frameSource      = 6
	frameType        = 12
	frameHeader      = 14
)

// Verdicts of TCX.
const (
	verdictNext     = -1
	verdictPass     = 0
	verdictDrop     = 2
	verdictRedirect = 7
)

// maxMembers bounds the attachments of a link.
const maxMembers = 1 << 16

// place is what a classifier knows of a MAC: 8 bytes in the kernel.
type place struct {
	// Priority is what the kernel reads: a class of HTB or an 802.1p priority.
	Priority uint32
	// Token stands in the mark of every packet that the program on the pod's link has let pass. 0 asks for none.
	Token uint32
}

func newPlaces(name string) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: 8, ValueSize: 8, MaxEntries: maxMembers, Flags: unix.BPF_F_NO_PREALLOC})
}

// classifier tells the qdisc whose a packet is.
type classifier struct {
	name string
	// at is the offset of the MAC that counts.
	at int16
	// places has the MACs that are known.
	places *ebpf.Map
	// group is the priority of broadcast and multicast of others, other that of everything else.
	group, other uint32
	// keepMark leaves the token for another classifier.
	keepMark bool
	// queued leaves in each packet that it goes to a queue, unqueued lets pass what has been there.
	queued, unqueued bool
}

// beenQueued stands in skb->tc_index, of 16 bits, of what has passed the queues of what the uplink receives. What pods of a VLAN send each
// other has not. Nothing else uses the field there, and the kernel keeps it on the way from the uplink to the VLAN's link.
const beenQueued = major

// load makes the program. It always writes skb->priority: HTB would take that from the pod's socket otherwise, before it looks
// at anything else.
//
// A packet is its MAC's only if it has the MAC's token: a raw socket that goes round the queues of the pod's link (PACKET_QDISC_BYPASS)
// goes round the program on it as well, which otherwise drops foreign MACs. The node's own MAC has no token; a packet of a packet
// socket is not the node's.
func (c classifier) load() (*ebpf.Program, error) {
	return loadProgram(c.name, c.instructions())
}

func (c classifier) instructions() asm.Instructions {
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	code = append(code, c.queues()...)
	code = append(code,
		asm.Mov.Imm(asm.R7, 0).WithSymbol("begin"),
		asm.LoadMem(asm.R2, asm.R6, skbData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, frameHeader),
		asm.JGT.Reg(asm.R4, asm.R3, "other"),
		asm.LoadMem(asm.R7, asm.R2, frameDestination, asm.Byte),
	)
	code = append(code, copyMAC(c.at, -8)...)
	code = append(code, lookUp(c.places, -8)...)
	code = append(code,
		asm.JEq.Imm(asm.R0, 0, "unknown"),
		asm.LoadMem(asm.R2, asm.R0, 4, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "untold"),
		asm.LoadMem(asm.R3, asm.R6, skbMark, asm.Word),
		asm.JNE.Reg(asm.R2, asm.R3, "unknown"),
		asm.LoadMem(asm.R8, asm.R0, 0, asm.Word),
		asm.Ja.Label("set"),

		asm.LoadMem(asm.R8, asm.R0, 0, asm.Word).WithSymbol("untold"),
		asm.LoadMem(asm.R1, asm.R6, skbSocket, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "set"),
		asm.LoadMem(asm.R1, asm.R1, sockFamily, asm.Word),
		asm.JEq.Imm(asm.R1, unix.AF_INET, "set"),
		asm.JEq.Imm(asm.R1, unix.AF_INET6, "set"),

		asm.And.Imm(asm.R7, 1).WithSymbol("unknown"),
		asm.JEq.Imm(asm.R7, 0, "other"),
		loadWord(asm.R8, c.group),
		asm.Ja.Label("set"),

		loadWord(asm.R8, c.other).WithSymbol("other"),

		asm.StoreMem(asm.R6, skbPriority, asm.R8, asm.Word).WithSymbol("set"),
	)
	if !c.keepMark {
		code = append(code, asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R6, skbMark, asm.R1, asm.Word))
	}
	return append(code, asm.Mov.Imm(asm.R0, verdictNext), asm.Return())
}

// queues is the part that tells what has been in a queue from what has not.
func (c classifier) queues() asm.Instructions {
	switch {
	case c.queued:
		return asm.Instructions{asm.Mov.Imm(asm.R2, beenQueued), asm.StoreMem(asm.R6, skbIndex, asm.R2, asm.Word)}
	case c.unqueued:
		return asm.Instructions{
			asm.LoadMem(asm.R2, asm.R6, skbIndex, asm.Word),
			asm.JNE.Imm(asm.R2, beenQueued, "begin"),
			asm.Mov.Imm(asm.R0, verdictPass),
			asm.Return(),
		}
	}
	return nil
}

// copyMAC copies a MAC of the frame at R2 to the stack, as the tables have it. It uses R5.
func copyMAC(at, to int16) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R5, asm.R2, at, asm.Word),
		asm.StoreMem(asm.RFP, to, asm.R5, asm.Word),
		asm.LoadMem(asm.R5, asm.R2, at+4, asm.Half),
		asm.StoreMem(asm.RFP, to+4, asm.R5, asm.Word),
	}
}

// lookUp has R0 point to the value for the key on the stack, or be 0. It uses R1 to R5.
func lookUp(table *ebpf.Map, key int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, table.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
	}
}

func loadWord(to asm.Register, value uint32) asm.Instruction {
	return asm.LoadImm(to, int64(value), asm.DWord)
}

func loadProgram(name string, code asm.Instructions) (*ebpf.Program, error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: code, License: "Apache-2.0"})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	return program, nil
}
