package qos

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Packets of a class wait in a bfifo. Where the class is slow and nobody can tell senders to hand over less at once, they wait in
// a tbf: it takes what is larger than its burst apart into single packets before they wait. Its rate is far above that of any
// class, so that it never limits.
const (
	bfifo = "bfifo"
	tbf   = "tbf"

	// tbfRate is in bytes a second; tbfTick is what it sends in the kernel's unit of time, 64 ns.
	tbfRate = 12_500_000_000
	tbfTick = 800
	// wholeBurst takes nothing apart.
	wholeBurst = 2 * wholeGSO
)

// queue is the queue that a class is to have below it on a link with an MTU, where it has one already, or one of the kernel's own. A
// queue of another kind begins empty: what waits would be lost. And a tbf never sends what is larger than its burst, so that its
// burst is only raised.
func (c class) queue(has qdisc, mtu int) qdisc {
	want := qdisc{kind: bfifo, limit: c.limit}
	switch {
	case has.kind == bfifo:
	case c.pieces > 0 && has.burst < wholeGSO:
		// Two packets, and what VLANs add.
		want = qdisc{kind: tbf, limit: c.pieces, burst: max(uint32(2*(mtu+32)), has.burst)} //nolint:gosec // An MTU.
	case has.kind == tbf:
		want = qdisc{kind: tbf, limit: c.limit, burst: wholeBurst}
	}
	return want
}

// sameQueue compares as far as the kernel tells.
func sameQueue(want, has qdisc) bool {
	return want.kind == has.kind && want.limit == has.limit && want.burst <= has.burst+2*tbfTick
}

// queue gives a class a queue. One of the same kind is changed in place, without loss.
func (c *classChanges) queue(minor uint16, want qdisc) {
	message := nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(c.link), Parent: handle(minor)} //nolint:gosec // An index.
	body := append(message.Serialize(), nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(want.kind)).Serialize()...)
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(want.limit))
	if want.kind == tbf {
		parameters := nl.TcTbfQopt{Rate: nl.TcRateSpec{Linklayer: nl.LINKLAYER_ETHERNET, Rate: math.MaxUint32}, Limit: want.limit}
		options = nl.NewRtAttr(nl.TCA_OPTIONS, nil)
		options.AddRtAttr(nl.TCA_TBF_PARMS, parameters.Serialize())
		options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(tbfRate))
		options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(want.burst))
	}
	body = append(body, options.Serialize()...)
	c.add(fmt.Sprintf("queue of class %x", minor), unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body)
}

// parseTBF reads the options of a tbf: after two rates of 12 bytes each its limit in bytes, and its burst in the kernel's unit of time.
func parseTBF(options []byte) (limit, burst uint32, err error) {
	attributes, err := nl.ParseRouteAttr(options)
	if err != nil {
		return 0, 0, fmt.Errorf("parse a tbf: %w", err)
	}
	for _, a := range attributes {
		if a.Attr.Type == nl.TCA_TBF_PARMS && len(a.Value) >= 32 {
			limit, burst = binary.NativeEndian.Uint32(a.Value[24:]), binary.NativeEndian.Uint32(a.Value[28:])*tbfTick
		}
	}
	return limit, burst, nil
}
