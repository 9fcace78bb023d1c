package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const (
	packetsPort = 5002
	packetBytes = 22
	// batch is how many packets one system call sends.
	batch = 64
	// senderCPU also does what follows, up to the receiver's socket: a veth pair hands packets over on the same CPU.
	senderCPU = 1
)

// Packets sends small datagrams from one pod to another, which does not read them.
type Packets struct {
	to               *kernel.Namespace
	link             string
	sender, receiver *os.File
	softirqs         string
}

// OpenPackets prepares to send to an address of a pod on one of its links.
func OpenPackets(from, to *kernel.Namespace, link string, addr netip.Addr) (*Packets, error) {
	p := &Packets{to: to, link: link}
	var err error
	if p.softirqs, err = softirqThread(senderCPU); err != nil {
		return nil, err
	}
	if p.receiver, err = socket(to, addr, unix.SOCK_DGRAM); err != nil {
		return nil, err
	}
	if err := unix.Bind(int(p.receiver.Fd()), endpoint(addr, packetsPort)); err != nil {
		return nil, errors.Join(fmt.Errorf("bind to %s: %w", addr, err), p.receiver.Close())
	}
	if p.sender, err = socket(from, addr, unix.SOCK_DGRAM); err != nil {
		return nil, errors.Join(err, p.receiver.Close())
	}
	if err := unix.Connect(int(p.sender.Fd()), endpoint(addr, packetsPort)); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", addr, err), p.Close())
	}
	return p, nil
}

// Close closes both sockets.
func (p *Packets) Close() error { return errors.Join(p.sender.Close(), p.receiver.Close()) }

// Send sends about so many packets and returns the CPU time that one of them cost, from the system call up to the
// receiver's full socket. The error tells of a path that loses packets, which would be a cheap one.
func (p *Packets) Send(count int) (each time.Duration, err error) {
	count = count / batch * batch
	before, err := p.arrived()
	if err != nil {
		return 0, err
	}
	var spent time.Duration
	err = onCPU(senderCPU, func() (err error) { spent, err = p.timed(count / batch); return err })
	if err != nil {
		return 0, err
	}
	after, err := p.arrived()
	if err == nil && after-before < uint64(count)*99/100 {
		err = fmt.Errorf("%d of %d packets arrived", after-before, count)
	}
	return spent / time.Duration(count), err
}

func (p *Packets) timed(batches int) (time.Duration, error) {
	messages := newMessages()
	start, err := p.cpuTime()
	if err != nil {
		return 0, err
	}
	for range batches {
		if err := messages.send(int(p.sender.Fd())); err != nil {
			return 0, err
		}
	}
	end, err := p.cpuTime()
	return end - start, err
}

// cpuTime is that of this thread and of the kernel's thread for packets that are too many for the sender to handle.
func (p *Packets) cpuTime() (time.Duration, error) {
	var own unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &own); err != nil {
		return 0, fmt.Errorf("read the CPU time of a thread: %w", err)
	}
	kernels, err := p.softirqTime()
	return time.Duration(own.Nano()) + kernels, err
}

func (p *Packets) arrived() (uint64, error) {
	link, err := p.to.Handle().LinkByName(p.link)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", p.link, err)
	}
	return link.Attrs().Statistics.RxPackets, nil
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
}

// messages are the arguments of sendmmsg: all headers point to the same few bytes.
type messages struct {
	payload [packetBytes]byte
	vector  unix.Iovec
	headers [batch]message
}

func newMessages() *messages {
	m := &messages{}
	m.vector.Base = &m.payload[0]
	m.vector.SetLen(packetBytes)
	for i := range m.headers {
		m.headers[i].header.Iov = &m.vector
		m.headers[i].header.SetIovlen(1)
	}
	return m
}

func (m *messages) send(fd int) error {
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.headers[0])), batch, 0, 0, 0)
	switch {
	case errno != 0:
		return fmt.Errorf("send packets: %w", errno)
	case sent != batch:
		return fmt.Errorf("send packets: the kernel took %d of %d", sent, batch)
	}
	return nil
}
