package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// routeSocket is a plain netlink socket for what the library cannot do. The kernel carries requests out within the call
// that sends them, and has their answers ready when it returns.
type routeSocket struct {
	fd      int
	out, in []byte
}

// routeSocket opens one in the namespace, to which it belongs for ever.
func (n *Namespace) routeSocket() (*routeSocket, error) {
	s := &routeSocket{in: make([]byte, listBuffer)}
	err := n.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Without the message that an error is about, answers to a batch fit into the buffer.
	capped := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	room := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, batchBuffer)
	if err := errors.Join(capped, room); err != nil {
		s.close()
		return nil, fmt.Errorf("prepare a netlink socket: %w", err)
	}
	return s, nil
}

func (s *routeSocket) close() { _ = unix.Close(s.fd) }

// append adds a message to what send sends.
func (s *routeSocket) append(kind, flags uint16, seq uint32, body []byte) {
	s.out = binary.NativeEndian.AppendUint32(s.out, uint32(unix.NLMSG_HDRLEN+len(body)))
	s.out = binary.NativeEndian.AppendUint16(s.out, kind)
	s.out = binary.NativeEndian.AppendUint16(s.out, flags)
	s.out = binary.NativeEndian.AppendUint32(s.out, seq)
	s.out = binary.NativeEndian.AppendUint32(s.out, 0) // from the kernel's view the port is that of the socket
	s.out = append(s.out, body...)
	for len(s.out)%unix.NLMSG_ALIGNTO != 0 {
		s.out = append(s.out, 0)
	}
}

func (s *routeSocket) send() error {
	if err := unix.Sendto(s.fd, s.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send netlink messages: %w", err)
	}
	return nil
}

// receive calls each with the messages of one answer.
func (s *routeSocket) receive(each func(kind, flags uint16, seq uint32, body []byte) error) error {
	size, _, err := unix.Recvfrom(s.fd, s.in, 0)
	if err != nil {
		return fmt.Errorf("receive netlink messages: %w", err)
	}
	for rest := s.in[:size]; len(rest) >= unix.NLMSG_HDRLEN; {
		length := int(binary.NativeEndian.Uint32(rest))
		if length < unix.NLMSG_HDRLEN || length > len(rest) {
			return fmt.Errorf("netlink message of %d bytes in an answer of %d", length, len(rest))
		}
		kind, flags := binary.NativeEndian.Uint16(rest[4:]), binary.NativeEndian.Uint16(rest[6:])
		if err := each(kind, flags, binary.NativeEndian.Uint32(rest[8:]), rest[unix.NLMSG_HDRLEN:length]); err != nil {
			return err
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return nil
}
