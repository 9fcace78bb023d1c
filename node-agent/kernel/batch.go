package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many messages go with one system call. Larger batches are no faster.
	batchSize = 128
	// batchBuffer is room for the kernel's answers to a batch that it refuses altogether.
	batchBuffer = 1 << 20
	// listBuffer is what the kernel fills at most with one piece of a list.
	listBuffer = 1 << 16
)

// Message is one route request without an answer of its own, such as RTM_NEWNEIGH. Flags are those beside NLM_F_REQUEST.
type Message struct {
	Type, Flags uint16
	Body        []byte
}

// Refused is a message of a batch that the kernel did not carry out.
type Refused struct {
	// Index in the batch.
	Index int
	// Err is the kernel's errno.
	Err error
}

// Batch sends messages in the namespace, many with one system call, in their order. The kernel carries out each for itself:
// those that it refused are listed, and all others are done. With an error of its own it is not known what was done.
func (n *Namespace) Batch(messages []Message) (refused []Refused, err error) {
	if len(messages) == 0 {
		return nil, nil
	}
	s, err := n.routeSocket()
	if err != nil {
		return nil, fmt.Errorf("batch of netlink messages: %w", err)
	}
	defer s.close()
	for start := 0; start < len(messages); start += batchSize {
		part := messages[start:min(start+batchSize, len(messages))]
		if err := s.batch(part, start, &refused); err != nil {
			return refused, fmt.Errorf("batch of netlink messages: %w", err)
		}
	}
	return refused, nil
}

// batch asks for an acknowledgement of the last message only: the kernel answers in order, and tells errors unasked.
func (s *routeSocket) batch(messages []Message, start int, refused *[]Refused) error {
	s.out = s.out[:0]
	for i, m := range messages {
		flags := m.Flags | unix.NLM_F_REQUEST
		if i == len(messages)-1 {
			flags |= unix.NLM_F_ACK
		}
		s.append(m.Type, flags, uint32(start+i), m.Body)
	}
	if err := s.send(); err != nil {
		return err
	}
	last := uint32(start + len(messages) - 1)
	for done := false; !done; {
		err := s.receive(func(kind, _ uint16, seq uint32, body []byte) error {
			if kind != unix.NLMSG_ERROR || len(body) < 4 {
				return fmt.Errorf("the kernel answered with a message of type %d", kind)
			}
			if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				*refused = append(*refused, Refused{Index: int(seq), Err: unix.Errno(errno)})
			}
			done = done || seq == last
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// List asks the kernel for the objects of one kind that match a request, and calls each with the body of every one, valid
// for that call only. The kernel filters itself, and refuses a request with a field that it does not know. The error is
// netlink.ErrDumpInterrupted where the list may be incomplete: see Dump.
func (n *Namespace) List(kind uint16, request []byte, each func(body []byte) error) error {
	s, err := n.routeSocket()
	if err != nil {
		return fmt.Errorf("list with netlink: %w", err)
	}
	defer s.close()
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("list with netlink: filter in the kernel: %w", err)
	}
	s.append(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 1, request)
	if err := s.send(); err != nil {
		return fmt.Errorf("list with netlink: %w", err)
	}
	return s.list(each)
}

func (s *routeSocket) list(each func([]byte) error) error {
	var interrupted, done bool
	for !done {
		err := s.receive(func(kind, flags uint16, _ uint32, body []byte) error {
			interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			if kind != unix.NLMSG_DONE && kind != unix.NLMSG_ERROR {
				return each(body)
			}
			done = true
			if len(body) >= 4 {
				if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
					return unix.Errno(errno)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if interrupted {
		return netlink.ErrDumpInterrupted
	}
	return nil
}
