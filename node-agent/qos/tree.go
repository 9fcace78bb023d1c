package qos

import (
	"cmp"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Minor numbers of HTB classes. Those of attachments follow.
const (
	minorRoot    = 0x1
	minorNode    = 0x2
	minorGroup   = 0x3
	minorDefault = 0x4
	minorFirst   = 0x10
	minorLast    = 0xffff
)

// lowestPrio is HTB's for what may only have what all others leave. It serves 0 first.
const lowestPrio = 7

// class is one class of HTB as it should be.
type class struct {
	minor      uint16
	rate, ceil uint64 // bit/s
	// burst and cburst are bytes that may be sent at once at rate and at ceil.
	burst, cburst uint32
	quantum       uint32
	prio          uint32
	// limit of the queue in bytes, 0 for the class that has the others below it. pieces is that of a queue of single packets, 0 where
	// packets wait as they come.
	limit, pieces uint32
}

// member is an attachment that gets a class of its own in one direction.
type member struct {
	mac   mac
	minor uint16
	plan.Bandwidth
	priority int
	gso      int
	// split has packets wait one by one where the class is slow.
	split bool
}

// tree is one HTB as it should be.
type tree struct {
	root   class
	leaves []class
	// scaled tells that the guarantees are more than the link has, so that all are less than they should be.
	scaled bool
}

// newTree is the tree of a link of a speed in bit/s, 0 for unknown. gso is what senders that are no members hand over at once.
//
// prio decides who gets what the guarantees leave: HTB gives all of it to the lowest prio that wants it. The node comes
// first, or pods could cut it off.
func newTree(speed uint64, gso int, members []member) tree {
	if speed == 0 {
		speed = unlimited
	}
	kept := reserve(speed)
	share := shares(members, speed-min(3*kept, speed/2))
	t := tree{
		root: class{minor: minorRoot, rate: speed, ceil: speed, burst: burst(speed, 0), cburst: burst(speed, 0), quantum: wholeGSO},
		leaves: []class{
			newClass(minorNode, kept, speed, 0, 0, gso),
			newClass(minorGroup, kept, kept, 0, 0, gso),
			newClass(minorDefault, kept, speed, 0, lowestPrio, gso),
		},
		scaled: share != 1,
	}
	for _, m := range members {
		ceil := cmp.Or(m.Maximum, max(speed, m.Guaranteed))
		rate := min(max(uint64(float64(m.Guaranteed)*share), floorRate), ceil)
		leaf := newClass(m.minor, rate, ceil, m.Burst, lowestPrio-m.priority, m.gso)
		if m.split {
			leaf.pieces = pieces(ceil, leaf.limit)
		}
		t.leaves = append(t.leaves, leaf)
	}
	slices.SortFunc(t.leaves, func(a, b class) int { return cmp.Compare(a.minor, b.minor) })
	return t
}

func newClass(minor uint16, rate, ceil, wantedBurst uint64, prio, gso int) class {
	return class{
		minor: minor, rate: rate, ceil: ceil, burst: burst(rate, wantedBurst), cburst: burst(ceil, wantedBurst),
		// With the size of a whole packet, TCP and single packets of one prio share evenly.
		quantum: uint32(gso), prio: uint32(prio), limit: limit(ceil, gso),
	}
}

// shares is the part of each guarantee that fits into what there is for guarantees, at most 1. HTB does not look: with rates
// that are more than the link together, nobody would be guaranteed anything.
func shares(members []member, available uint64) float64 {
	sum := uint64(0)
	for _, m := range members {
		sum += max(m.Guaranteed, floorRate)
	}
	if sum <= available {
		return 1
	}
	return float64(available) / float64(sum)
}

// assign gives every MAC the minor number that it has, or else the lowest that is free. There is none for more than 65,000.
func assign(macs []mac, taken map[mac]uint16) map[mac]uint16 {
	assigned, used := map[mac]uint16{}, map[uint16]bool{}
	for _, m := range macs {
		if minor, ok := taken[m]; ok && minor >= minorFirst && !used[minor] {
			assigned[m], used[minor] = minor, true
		}
	}
	next := minorFirst
	for _, m := range macs {
		if _, ok := assigned[m]; ok {
			continue
		}
		for ; next <= minorLast && used[uint16(next)]; next++ {
		}
		if next > minorLast {
			break
		}
		assigned[m], used[uint16(next)] = uint16(next), true
	}
	return assigned
}
