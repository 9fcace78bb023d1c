package main

import (
	"errors"
	"io"
	"syscall"

	"github.com/multinet-dev/multinet/node-agent/multinet-cni/unary"
)

// descriptor is a file that a runtime has handed over, a pipe as a rule.
type descriptor int

// Read is that of io.Reader.
func (d descriptor) Read(p []byte) (n int, err error) {
	err = d.try(func() (err error) { n, err = syscall.Read(int(d), p); return err })
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

// Write is that of io.Writer.
func (d descriptor) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		n := 0
		err = d.try(func() (err error) { n, err = syscall.Write(int(d), p[written:]); return err })
		written += max(n, 0)
	}
	return written, err
}

// try waits where the other side has made the file one that does not block.
func (d descriptor) try(call func() error) error {
	for {
		err := call()
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			if err := syscall.SetNonblock(int(d), false); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// readAll reads to the end, or one byte more than limit.
func readAll(from io.Reader, limit int) (string, error) {
	data := unary.Buffer()
	for len(data) <= limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return string(data), nil
		}
		if err != nil {
			return "", err
		}
	}
	return string(data), nil
}
