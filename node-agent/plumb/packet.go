package plumb

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// packetSocket sends and receives whole frames of one type on one interface. Where it was opened decides its namespace;
// it is used from any thread.
type packetSocket struct {
	file  *os.File
	conn  syscall.RawConn
	index int
	mac   net.HardwareAddr
}

// openPacket opens a socket in the namespace of the calling thread. Until the filter is in place the socket is bound
// to nothing, so that it never holds a frame that the filter refuses. With etherType 0 it only sends.
func openPacket(iface string, etherType uint16, filter []bpf.Instruction) (*packetSocket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	s := &packetSocket{file: os.NewFile(uintptr(fd), "packet:"+iface)}
	if err := s.bind(fd, iface, etherType, filter); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("bind packet socket to %s: %w", iface, err)
	}
	return s, nil
}

func (s *packetSocket) bind(fd int, iface string, etherType uint16, filter []bpf.Instruction) error {
	request, err := unix.NewIfreq(iface)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return err
	}
	s.index = int(request.Uint32())
	if err := attachFilter(fd, filter); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(etherType), Ifindex: s.index}); err != nil {
		return err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	link := name.(*unix.SockaddrLinklayer)
	s.mac = net.HardwareAddr(link.Addr[:link.Halen])
	s.conn, err = s.file.SyscallConn()
	return err
}

// join makes the interface accept frames to a multicast group until the socket is closed.
func (s *packetSocket) join(group net.HardwareAddr) error {
	membership := unix.PacketMreq{Ifindex: int32(s.index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
	copy(membership.Address[:], group)
	return s.control(func(fd int) error {
		return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &membership)
	})
}

func (s *packetSocket) send(frame []byte) error {
	return s.control(func(fd int) error {
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.index})
	})
}

// expireAt sets when receive gives up; a time that is past ends a receive that is under way.
func (s *packetSocket) expireAt(deadline time.Time) error { return s.file.SetReadDeadline(deadline) }

// receive returns the next frame that came in for this host, and os.ErrDeadlineExceeded at the deadline. Frames to
// others are left out: among them are those of VLANs that the node has no link for.
func (s *packetSocket) receive(buffer []byte) ([]byte, error) {
	for {
		n, from, err := s.receiveAny(buffer)
		if err != nil {
			return nil, err
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if ok && link.Pkttype != unix.PACKET_OUTGOING && link.Pkttype != unix.PACKET_OTHERHOST {
			return buffer[:n], nil
		}
	}
}

func (s *packetSocket) receiveAny(buffer []byte) (n int, from unix.Sockaddr, err error) {
	waitErr := s.conn.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), buffer, 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if waitErr != nil {
		return 0, nil, waitErr
	}
	return n, from, err
}

// Close is also safe on a socket that failed to bind.
func (s *packetSocket) Close() error { return s.file.Close() }

func (s *packetSocket) control(f func(fd int) error) (err error) {
	controlErr := s.conn.Control(func(fd uintptr) { err = f(int(fd)) })
	if controlErr != nil {
		return controlErr
	}
	return err
}

func attachFilter(fd int, instructions []bpf.Instruction) error {
	if len(instructions) == 0 {
		return nil
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }
