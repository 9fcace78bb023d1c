package main

import (
	"context"
	"fmt"
	"time"

	"github.com/multinet-dev/multinet/hack/bench/overlay/traffic"
)

const (
	packets = 6400
	bytes   = 64 << 20
)

// side sends from the pod of a node that has so many attachments; 0 is a link without classes.
type side struct {
	attachments int
	packets     *traffic.Packets
	stream      *traffic.Stream
	perPacket   durations
	perStream   durations
}

// classification sends from nodes that have no classes, few, more and many.
func classification(ctx context.Context, l *lab, rounds int) error {
	var sides []*side
	for _, attachments := range []int{0, 10, 100, 1000} {
		s, err := l.side(attachments)
		if err != nil {
			return fmt.Errorf("%d attachments: %w", attachments, err)
		}
		defer s.packets.Close()
		defer s.stream.Close()
		sides = append(sides, s)
	}
	for round := range rounds {
		for turn := range sides {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := sides[(round+turn)%len(sides)].measure(round%4 == 0); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
	}
	for _, s := range sides {
		fmt.Printf("%5d attachments with a class: a packet %s, 64 MiB of TCP %s\n", s.attachments, s.perPacket, s.perStream)
	}
	none, few, more, many := sides[0], sides[1], sides[2], sides[3]
	ratio("qos-packet-100", more.perPacket, few.perPacket)
	ratio("qos-packet-1000", many.perPacket, few.perPacket)
	ratio("qos-throughput-1000", few.perStream, many.perStream)
	ratio("qos-packet", few.perPacket, none.perPacket)
	return nil
}

func (l *lab) side(attachments int) (*side, error) {
	n, err := l.node(fmt.Sprintf("node%d", attachments))
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := n.plan(attachments); err != nil {
		return nil, err
	}
	inForce := time.Now()
	if err := n.change(); err != nil {
		return nil, err
	}
	if attachments > 0 {
		fmt.Printf("%5d classes in force in %.1f ms, with their programs loaded; changed in %.1f ms\n",
			attachments, milliseconds(inForce.Sub(start)), milliseconds(time.Since(inForce)))
	}
	// The last of them, wherever it is in tables.
	ns, err := n.pod(attachment(max(attachments, 1)-1, attachments > 0))
	if err != nil {
		return nil, err
	}
	s := &side{attachments: attachments}
	if s.packets, err = traffic.OpenPackets(ns, n.machine, "far1", machineAddress.Addr()); err != nil {
		return nil, err
	}
	s.stream, err = traffic.OpenStream(ns, n.machine, machineAddress.Addr())
	return s, err
}

func (s *side) measure(stream bool) error {
	each, err := s.packets.Send(packets)
	if err != nil {
		return err
	}
	s.perPacket = append(s.perPacket, each)
	if !stream {
		return nil
	}
	took, err := s.stream.Send(bytes)
	s.perStream = append(s.perStream, took)
	return err
}
