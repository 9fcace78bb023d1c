package plumb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
)

// probeWait is how long an answer is waited for. A holder in the same segment answers within 0.2 ms; the 4 to 7 s of
// RFC 5227 are made for hosts that are asleep or joined by a modem, and no pod can wait for them.
const probeWait = 80 * time.Millisecond

// Conflict is an address that another host on the segment has.
type Conflict struct {
	Addr netip.Addr
	MAC  net.HardwareAddr
}

// Probe asks the segment of an uplink who has the addresses (ARP probe of RFC 5227, duplicate detection of RFC 4862) and
// returns who answered, at most one per address, after 80 ms or as soon as every address is answered for. If ctx ends
// earlier, its error is returned beside what was found, since silence was not heard out. Probe runs in the node's
// namespace, before the pod's exists. The kernel does not hand the uplink's frames to macvlan links on the same
// uplink: a holder on the same node is not found here, but by its MAC when the link comes up.
func Probe(ctx context.Context, uplink string, addrs []netip.Addr) ([]Conflict, error) {
	return probeFor(ctx, probeWait, uplink, addrs)
}

func probeFor(ctx context.Context, wait time.Duration, uplink string, addrs []netip.Addr) ([]Conflict, error) {
	deadline := time.Now().Add(wait)
	p4, err := startProbe(uplink, probeIPv4, addrs, deadline)
	if err != nil {
		return nil, err
	}
	defer p4.close()
	p6, err := startProbe(uplink, probeIPv6, addrs, deadline)
	if err != nil {
		return nil, err
	}
	defer p6.close()
	stop := context.AfterFunc(ctx, func() { p4.expire(); p6.expire() })
	defer stop()

	// Both at once: at the deadline a socket gives back nothing more, not even answers that wait in it.
	var conflicts4, conflicts6 []Conflict
	var err4, err6 error
	var both sync.WaitGroup
	both.Go(func() { conflicts4, err4 = p4.collect() })
	both.Go(func() { conflicts6, err6 = p6.collect() })
	both.Wait()
	conflicts := append(conflicts4, conflicts6...)
	if len(conflicts) < len(addrs) {
		return conflicts, errors.Join(err4, err6, ctx.Err())
	}
	return conflicts, nil
}

// family is what differs between IPv4 and IPv6.
type family struct {
	etherType uint16
	includes  func(netip.Addr) bool
	filter    []bpf.Instruction
	groups    func(netip.Addr) []net.HardwareAddr
	question  func(net.HardwareAddr, netip.Addr) []byte
	conflict  func(frame []byte, own net.HardwareAddr) (Conflict, bool)
}

var probeIPv4 = family{
	etherType: etherTypeARP,
	includes:  netip.Addr.Is4,
	groups:    func(netip.Addr) []net.HardwareAddr { return nil },
	question:  arpProbe,
	conflict:  arpConflict,
}

var probeIPv6 = family{
	etherType: etherTypeIPv6,
	includes:  netip.Addr.Is6,
	filter:    neighbourFilter,
	// The answer to an unspecified source goes to all nodes; others who probe ask the address's own group.
	groups: func(addr netip.Addr) []net.HardwareAddr {
		return []net.HardwareAddr{multicastMAC(allNodes), multicastMAC(solicitedNode(addr))}
	},
	question: nsProbe,
	conflict: neighbourConflict,
}

// neighbourFilter keeps all other IPv6 traffic of the uplink away from the socket.
var neighbourFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: etherHeader + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpv6, SkipTrue: 4},
	bpf.LoadAbsolute{Off: etherHeader + ipv6Header, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: neighbourSolicitation, SkipTrue: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: neighbourAdvertisement, SkipTrue: 1},
	bpf.RetConstant{Val: 0xffff},
	bpf.RetConstant{Val: 0},
}

// probe waits for the answers of one family; nil waits for none.
type probe struct {
	family
	socket *packetSocket
	asked  []netip.Addr
}

func startProbe(uplink string, f family, addrs []netip.Addr, deadline time.Time) (*probe, error) {
	asked := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !f.includes(a) })
	if len(asked) == 0 {
		return nil, nil
	}
	socket, err := openPacket(uplink, f.etherType, f.filter)
	if err != nil {
		return nil, fmt.Errorf("probe addresses on %s: %w", uplink, err)
	}
	p := &probe{family: f, socket: socket, asked: asked}
	if err := p.askAll(deadline); err != nil {
		p.close()
		return nil, fmt.Errorf("probe addresses on %s: %w", uplink, err)
	}
	return p, nil
}

func (p *probe) askAll(deadline time.Time) error {
	for _, addr := range p.asked {
		if err := p.ask(addr); err != nil {
			return fmt.Errorf("ask for %s: %w", addr, err)
		}
	}
	return p.socket.expireAt(deadline)
}

func (p *probe) ask(addr netip.Addr) error {
	for _, group := range p.groups(addr) {
		if err := p.socket.join(group); err != nil {
			return err
		}
	}
	return p.socket.send(p.question(p.socket.mac, addr))
}

func (p *probe) collect() (conflicts []Conflict, err error) {
	if p == nil {
		return nil, nil
	}
	open := slices.Clone(p.asked)
	buffer := make([]byte, 2048)
	for len(open) > 0 {
		frame, err := p.socket.receive(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return conflicts, fmt.Errorf("wait for answers to address probes: %w", err)
		}
		conflict, ok := p.conflict(frame, p.socket.mac)
		if i := slices.Index(open, conflict.Addr); ok && i >= 0 {
			conflicts = append(conflicts, conflict)
			open = slices.Delete(open, i, i+1)
		}
	}
	return conflicts, nil
}

// expire ends collect at once.
func (p *probe) expire() {
	if p != nil {
		_ = p.socket.expireAt(time.Unix(1, 0))
	}
}

func (p *probe) close() {
	if p != nil {
		_ = p.socket.Close()
	}
}
