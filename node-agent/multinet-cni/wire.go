package main

import (
	"errors"

	"github.com/multinet-dev/multinet/node-agent/multinet-cni/unary"
)

// Messages of apis/agent/v1, as protobuf puts them on the wire. They are written by hand since the library of protobuf doubles the
// time that this program takes to start; tests hold them against the generated code.

// sandbox is the message Sandbox.
type sandbox struct {
	id, netns, iface, network     string
	podNamespace, podName, podUID string
}

func (s *sandbox) encode() []byte {
	m := unary.Buffer()
	for i, text := range []string{s.id, s.netns, s.iface, s.network, s.podNamespace, s.podName, s.podUID} {
		m = appendText(m, i+1, text)
	}
	return m
}

// Types of fields.
const (
	wireVarint = 0
	wireFixed8 = 1
	wireBytes  = 2
	wireFixed4 = 5
)

func appendBytes[T string | []byte](m []byte, field int, value T) []byte {
	m = appendUvarint(m, uint64(field)<<3|wireBytes)
	m = appendUvarint(m, uint64(len(value)))
	return append(m, value...)
}

// appendText leaves out what is empty, as proto3 does.
func appendText(m []byte, field int, value string) []byte {
	if value == "" {
		return m
	}
	return appendBytes(m, field, value)
}

// aboutSandbox is AddRequest without addresses, DeleteRequest and CheckRequest.
func aboutSandbox(s *sandbox) []byte { return appendBytes(unary.Buffer(), 1, s.encode()) }

func addRequest(s *sandbox, ips []string) []byte {
	m := aboutSandbox(s)
	for _, ip := range ips {
		m = appendText(m, 2, ip)
	}
	return m
}

func collectRequest(network string, valid []attachment) []byte {
	m := appendText(nil, 1, network)
	for _, a := range valid {
		m = appendBytes(m, 2, appendText(appendText(nil, 1, a.containerID), 2, a.iface))
	}
	return m
}

// refusal reads the one field of all answers. It is nil where the agent has refused nothing.
func refusal(answer []byte) (f *failure, err error) {
	err = fields(answer, func(field int, _ uint64, value []byte) error {
		if field != 1 || value == nil {
			return nil
		}
		f = &failure{}
		return fields(value, func(field int, number uint64, text []byte) error {
			switch field {
			case 1:
				f.code = int(uint32(number))
			case 2:
				f.message = string(text)
			case 3:
				f.details = string(text)
			}
			return nil
		})
	})
	return f, err
}

var errWire = errors.New("the agent's answer is no message of protobuf")

// fields calls f with each field: its number for a varint, else its bytes, which are not nil. A newer agent may send fields that
// are not known here.
func fields(m []byte, f func(field int, number uint64, value []byte) error) error {
	for len(m) > 0 {
		tag, n := uvarint(m)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return errWire
		}
		m = m[n:]
		number, value := uint64(0), []byte(nil)
		size := 0
		switch tag & 7 {
		case wireVarint:
			if number, size = uvarint(m); size <= 0 {
				return errWire
			}
		case wireBytes:
			length, n := uvarint(m)
			if n <= 0 || length > uint64(len(m)-n) {
				return errWire
			}
			size = n + int(length)
			value = m[n:size:size]
		case wireFixed4:
			size = 4
		case wireFixed8:
			size = 8
		default:
			return errWire
		}
		if size > len(m) {
			return errWire
		}
		m = m[size:]
		if err := f(int(tag>>3), number, value); err != nil {
			return err
		}
	}
	return nil
}
