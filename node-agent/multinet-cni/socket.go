package main

import (
	"errors"
	"io"
	"syscall"
)

var errTooLate = errors.New("the time for it is over")

// socket is a connection to the agent. It blocks its thread, of which there is no other that had something to do: the network
// poller of the package net is not started.
type socket struct {
	fd int
	// deadline is a time of now.
	deadline int64
}

// now is the machine's clock that nobody sets, in milliseconds. The kernel counts hundredths of a second here.
func now() int64 {
	ticks, err := syscall.Times(&syscall.Tms{})
	if err != nil {
		return 0 // it has no cause for one
	}
	return 10 * int64(ticks)
}

// dial connects within a time, and gives all that is done with the connection another one. Both are in milliseconds from now.
func dial(path string, within, all int64) (*socket, error) {
	start := now()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errors.New("socket: " + err.Error())
	}
	s := &socket{fd: fd, deadline: start + within}
	err = s.try(syscall.SO_SNDTIMEO, func() (err error) { return syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}) })
	if err != nil && !errors.Is(err, syscall.EISCONN) {
		_ = s.Close()
		return nil, err
	}
	s.deadline = start + all
	return s, nil
}

// Read is that of io.Reader.
func (s *socket) Read(p []byte) (n int, err error) {
	err = s.try(syscall.SO_RCVTIMEO, func() (err error) { n, err = syscall.Read(s.fd, p); return err })
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// Write is that of io.Writer.
func (s *socket) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		n := 0
		err = s.try(syscall.SO_SNDTIMEO, func() (err error) {
			n, err = syscall.SendmsgN(s.fd, p[written:], nil, nil, syscall.MSG_NOSIGNAL)
			return err
		})
		written += max(n, 0)
	}
	return written, err
}

// Close closes the connection.
func (s *socket) Close() error { return syscall.Close(s.fd) }

// try gives the kernel what is left of the time. Signals of the Go runtime interrupt a call that has a limit.
func (s *socket) try(limit int, call func() error) error {
	for {
		left := s.deadline - now()
		if left <= 0 {
			return errTooLate
		}
		timeval := syscall.NsecToTimeval(left * 1_000_000)
		if err := syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, limit, &timeval); err != nil {
			return errors.New("setsockopt: " + err.Error())
		}
		if err := call(); !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
	}
}
