package qos

import (
	"cmp"
	"slices"

	"github.com/vishvananda/netlink"
)

// Counter is what one class of one link has done in one direction, all its attachments together.
type Counter struct {
	// Link is the uplink, or the link of an overlay.
	Link      string
	Direction string
	// Class is the QoSClass, or "(node)", "(broadcast)" and "(none)".
	Class string

	// Bytes and Packets that were sent, Drops that found the queue full, Overlimits that had to wait for the class's rate.
	Bytes, Packets, Drops, Overlimits uint64
	// Backlog is how many bytes wait now.
	Backlog uint64
}

// Names of the classes that are always there.
var ownClasses = map[uint16]string{minorNode: "(node)", minorGroup: "(broadcast)", minorDefault: "(none)"}

type counterKey struct {
	link string
	direction
	class string
}

// counters adds up classes by their names. What classes that are gone have counted is kept: a sum must not fall.
type counters map[counterKey]Counter

func (c counters) add(key counterKey, class *netlink.HtbClass) {
	sum := c[key]
	if stats := class.Statistics; stats != nil {
		if stats.Basic != nil {
			sum.Bytes += stats.Basic.Bytes
			sum.Packets += uint64(stats.Basic.Packets)
		}
		if stats.Queue != nil {
			sum.Drops += uint64(stats.Queue.Drops)
			sum.Overlimits += uint64(stats.Queue.Overlimits)
			sum.Backlog += uint64(stats.Queue.Backlog)
		}
	}
	c[key] = sum
}

func (c counters) list() []Counter {
	all := make([]Counter, 0, len(c))
	for key, counter := range c {
		counter.Link, counter.Direction, counter.Class = key.link, string(key.direction), key.class
		all = append(all, counter)
	}
	slices.SortFunc(all, func(a, b Counter) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Class, b.Class))
	})
	return all
}
