package qos

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// guard is what the program on a pod's link holds it to: 40 bytes in the kernel, which the program knows by offset.
type guard struct {
	// Segment is the index of the link that the pod is on. Pods of one segment reach each other without its queues.
	Segment uint32
	// DSCP is that of the pod's packets and 1 more, 0 for what the pod writes.
	DSCP uint32
	// Cost is how many ns one byte to a pod of the segment takes, times 2^20. 0 is no limit.
	Cost uint64
	// Depth is how many ns may be used up at once.
	Depth uint64
	// Used is up to when the time is used up, in ns since the boot. The program writes it.
	Used  uint64
	Token uint32
	_     uint32
}

const (
	guardSegment, guardDSCP, guardCost, guardDepth, guardUsed, guardToken = 0, 4, 8, 16, 24, 32
	guardSize                                                             = 40
	costShift                                                             = 20
)

// localBurst is how long a burst between pods of a segment is at least. The program has no queue: TCP, whose packets need some
// 50 µs there, loses all that are on the way at once, and begins anew by a timer of 200 ms. With less it never comes near the rate.
const localBurst = 200 * time.Millisecond

// setLimit has the guard let pass so many bit/s, with bursts of at least localBurst and two of the pod's largest packets.
func (g *guard) setLimit(rate uint64, gso int, wanted uint64) {
	if rate == 0 {
		g.Cost, g.Depth = 0, 0
		return
	}
	bytes := max(rate/8, 1)
	g.Cost = max(uint64(time.Second)<<costShift/bytes, 1)
	depth := max(uint64(2*gso), uint64(burst(rate, wanted)))
	high, low := bits.Mul64(depth, g.Cost)
	g.Depth = min(max(high<<(64-costShift)|low>>costShift, uint64(localBurst)), uint64(burstTime))
}

func newGuards(name string) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: 8, ValueSize: guardSize, MaxEntries: maxMembers, Flags: unix.BPF_F_NO_PREALLOC})
}

// loadGuard makes the program for the link of one pod. It drops what has another source MAC, marks the rest with the token by
// which classifiers know it, writes the DSCP, and drops what exceeds the limit and goes to pods of the same segment.
// Whatever it does but for the MAC stands in the table, and can be changed while it runs. Without an entry it marks with 0.
func loadGuard(m mac, guards *ebpf.Map) (*ebpf.Program, error) {
	code := guardCheck(m)
	code = append(code, guardLookUps(m, guards)...)
	code = append(code, guardBucket()...)
	code = append(code, guardDSCPs()...)
	code = append(code,
		asm.Mov.Imm(asm.R0, verdictNext).WithSymbol("pass"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, verdictDrop).WithSymbol("drop"),
		asm.Return(),
	)
	return loadProgram("multinet_guard", code)
}

// guardCheck leaves the context in R6 and the first byte of the destination in R8.
func guardCheck(m mac) asm.Instructions {
	first, last := m.halves()
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, skbData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, frameHeader),
		asm.JGT.Reg(asm.R4, asm.R3, "drop"),
		asm.LoadMem(asm.R4, asm.R2, frameSource, asm.Word),
		loadWord(asm.R5, first),
		asm.JNE.Reg(asm.R4, asm.R5, "drop"),
		asm.LoadMem(asm.R4, asm.R2, frameSource+4, asm.Half),
		asm.JNE.Imm(asm.R4, int32(last), "drop"),
		asm.LoadMem(asm.R8, asm.R2, frameDestination, asm.Byte),
	}
}

// guardLookUps leaves the pod's entry in R7, and goes on to the bucket where the packet goes to the segment.
func guardLookUps(m mac, guards *ebpf.Map) asm.Instructions {
	code := copyMAC(frameDestination, -16)
	code = append(code,
		asm.LoadImm(asm.R1, int64(binary.NativeEndian.Uint64(m[:])), asm.DWord),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
	)
	code = append(code, lookUp(guards, -8)...)
	code = append(code,
		asm.JNE.Imm(asm.R0, 0, "known"),
		asm.StoreMem(asm.R6, skbMark, asm.R0, asm.Word),
		asm.Ja.Label("pass"),
		asm.Mov.Reg(asm.R7, asm.R0).WithSymbol("known"),
		asm.LoadMem(asm.R1, asm.R7, guardToken, asm.Word),
		asm.StoreMem(asm.R6, skbMark, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R7, guardCost, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "dscp"),
		asm.And.Imm(asm.R8, 1),
		asm.JNE.Imm(asm.R8, 0, "bucket"), // to all, and so to the segment too
	)
	code = append(code, lookUp(guards, -16)...)
	return append(code,
		asm.JEq.Imm(asm.R0, 0, "dscp"),
		asm.LoadMem(asm.R1, asm.R0, guardSegment, asm.Word),
		asm.LoadMem(asm.R2, asm.R7, guardSegment, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R2, "dscp"),
	)
}

// guardBucket takes the packet's time out of what is left. All changes of the entry are atomic, since a pod sends on all CPUs.
func guardBucket() asm.Instructions {
	return asm.Instructions{
		asm.FnKtimeGetNs.Call().WithSymbol("bucket"),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadMem(asm.R9, asm.R6, skbLength, asm.Word),
		asm.LoadMem(asm.R1, asm.R7, guardCost, asm.DWord),
		asm.Mul.Reg(asm.R9, asm.R1),
		asm.RSh.Imm(asm.R9, costShift),
		// Time that was not used is lost. Who is too late for this finds that another CPU has done it.
		asm.LoadMem(asm.R0, asm.R7, guardUsed, asm.DWord),
		asm.JGE.Reg(asm.R0, asm.R8, "take"),
		asm.Mov.Reg(asm.R1, asm.R8),
		atomically(asm.CmpXchg, asm.R7, asm.R1, guardUsed),
		asm.Mov.Reg(asm.R2, asm.R9).WithSymbol("take"),
		atomically(asm.FetchAdd, asm.R7, asm.R2, guardUsed),
		asm.LoadMem(asm.R1, asm.R7, guardDepth, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R8),
		asm.JLE.Reg(asm.R2, asm.R1, "dscp"),
		asm.Neg.Imm(asm.R9, 0),
		atomically(asm.AddAtomic, asm.R7, asm.R9, guardUsed),
		// Lost on the way, as on any router: a sender that is told of a drop in its own queues waits for a timer of half a second.
		asm.Mov.Imm(asm.R1, 0),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(), // to an interface that does not exist
		asm.Return(),
	}
}

// atomically says twice which operation is meant: cilium/ebpf 0.22 loses the part of it that belongs into the constant, and the
// kernel would take each for a plain addition.
func atomically(op asm.AtomicOp, to, from asm.Register, offset int16) asm.Instruction {
	i := op.Mem(to, from, asm.DWord, offset)
	i.Constant = int64(op >> 8)
	return i
}
