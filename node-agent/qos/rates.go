package qos

import "time"

const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20

	// wholeGSO is the most that a stack hands over at once, unless it was told less.
	wholeGSO = 64 * kibibyte
	// floorRate is that of classes without a guarantee, in bit/s: HTB has no class of rate 0. What they send they borrow.
	floorRate = 64_000
	// unlimited stands for the speed of a link whose speed nobody knows, in bit/s.
	unlimited = 400_000_000_000

	smallestBurst = 16 * kibibyte
	largestLimit  = 32 * mebibyte
	// burstTime bounds how long a burst takes at its rate: the kernel counts it in 32 bits of 64 ns.
	burstTime = 60 * time.Second
)

// burst is how many bytes a class may send at once at a rate in bit/s. HTB is woken late by up to a timer tick, and what it then
// cannot send at once is lost: with tc's own default, 10 Gbit/s become 7.6. wanted is what the QoSClass asks for.
func burst(rate, wanted uint64) uint32 {
	bytes := max(rate/8/1000, smallestBurst, wanted)
	longest := max(rate/8*uint64(burstTime/time.Second), smallestBurst)
	return uint32(min(bytes, longest, 1<<31))
}

// limit is the length of a leaf's queue in bytes. Below two packets of the largest size throughput collapses; what is more than
// 10 ms of the class's maximum only adds delay. gso is the size of what senders hand over at once.
func limit(ceil uint64, gso int) uint32 {
	packets := 4
	if gso >= wholeGSO {
		packets = 2
	}
	return uint32(min(max(uint64(packets*gso), ceil/8/100), largestLimit))
}

// pieces is the length in bytes of a queue of single packets, 50 ms of the class's maximum: 0 where whole packets up to a limit wait
// for no longer than 100 ms.
func pieces(ceil uint64, limit uint32) uint32 {
	if ceil/8/10 >= uint64(limit) {
		return 0
	}
	return uint32(max(ceil/8/20, 16*kibibyte)) //nolint:gosec // Below limit.
}

// reserve is the rate that is kept for the node itself, for broadcast and for the default class, each, on a link of a speed.
func reserve(speed uint64) uint64 { return min(max(speed/100, floorRate), 100_000_000) }
