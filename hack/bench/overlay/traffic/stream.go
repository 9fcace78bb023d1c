package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const (
	streamPort  = 5001
	streamWrite = 256 << 10
)

// Stream is a TCP connection from one pod to another.
type Stream struct {
	sender, receiver *os.File
}

// OpenStream connects two pods.
func OpenStream(from, to *kernel.Namespace, addr netip.Addr) (*Stream, error) {
	listener, err := socket(to, addr, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := unix.Bind(int(listener.Fd()), endpoint(addr, streamPort)); err != nil {
		return nil, fmt.Errorf("bind to %s: %w", addr, err)
	}
	if err := unix.Listen(int(listener.Fd()), 1); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	s := &Stream{}
	if s.sender, err = socket(from, addr, unix.SOCK_STREAM); err != nil {
		return nil, err
	}
	if err := unix.Connect(int(s.sender.Fd()), endpoint(addr, streamPort)); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", addr, err), s.Close())
	}
	fd, _, err := unix.Accept4(int(listener.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("accept on %s: %w", addr, err), s.Close())
	}
	s.receiver = os.NewFile(uintptr(fd), "accepted")
	limit := unix.NsecToTimeval(int64(patience))
	return s, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// Close ends the connection.
func (s *Stream) Close() error {
	err := s.sender.Close()
	if s.receiver == nil {
		return err
	}
	return errors.Join(err, s.receiver.Close())
}

// Send sends so many bytes and returns how long it took until the other pod had read the last of them.
func (s *Stream) Send(bytes int) (time.Duration, error) {
	start := time.Now()
	received := make(chan error, 1)
	go func() { received <- onCPU(1, func() error { return transfer(bytes, int(s.receiver.Fd()), unix.Read) }) }()
	sent := onCPU(0, func() error { return transfer(bytes, int(s.sender.Fd()), unix.Write) })
	err := errors.Join(sent, <-received)
	return time.Since(start), err
}

func transfer(bytes, fd int, call func(fd int, p []byte) (int, error)) error {
	buffer := make([]byte, streamWrite)
	for bytes > 0 {
		n, err := call(fd, buffer[:min(bytes, len(buffer))])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("TCP with %d bytes left: %w", bytes, err)
		case n == 0:
			return fmt.Errorf("TCP with %d bytes left: the connection has ended", bytes)
		default:
			bytes -= n
		}
	}
	return nil
}
