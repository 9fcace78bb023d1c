// Package unary makes one gRPC call over a connection: a request, an answer, no stream. It speaks just enough HTTP/2 for
// that (RFC 9113, RFC 7541, and gRPC over HTTP/2).
//
// It is here because a CNI plugin is a process that lives for one call. The gRPC library brings net/http, TLS and its own
// machinery, whose start alone takes longer than the call; the library of HPACK alone takes a twentieth of the plugin's time.
package unary

import (
	"errors"
	"io"
	"strconv"
)

// MaxAnswer is the most that an answer may have, in bytes. It fits into the window that HTTP/2 grants without asking.
const MaxAnswer = 32 << 10

// Error is a call that the server has ended with a status other than OK.
type Error struct {
	// Code as in google.golang.org/grpc/codes.
	Code    int
	Message string
}

func (e *Error) Error() string { return "gRPC status " + strconv.Itoa(e.Code) + ": " + e.Message }

// Call sends a message to a method, such as "/multinet.agent.v1.Sandboxes/Add", and returns the message of its answer. from and to are
// the two directions of a connection, which serves one call. The server is told how many milliseconds the caller waits; that the
// connection itself gives up then is the caller's to see to.
func Call(from io.Reader, to io.Writer, method string, limit int64, message []byte) ([]byte, error) {
	c := newCall(from, to)
	if err := c.send(headers(method, limit), envelope(message)); err != nil {
		return nil, err
	}
	return c.receive()
}

// headers of the request. gRPC requires all of them.
func headers(method string, limit int64) []byte {
	block := Buffer()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "localhost"},
		{"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "multinet-cni"},
		{"grpc-timeout", strconv.FormatInt(max(limit, 1), 10) + "m"},
	} {
		block = appendField(block, f[0], f[1])
	}
	return block
}

// unescaped resolves the %XX of a message. What is none stays.
func unescaped(message string) string {
	out := make([]byte, 0, len(message))
	for i := 0; i < len(message); i++ {
		if message[i] == '%' && i+2 < len(message) {
			if c, err := strconv.ParseUint(message[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(c))
				i += 2
				continue
			}
		}
		out = append(out, message[i])
	}
	return string(out)
}

// Buffer is an empty one with room for a message of the usual size. The first allocation of each size costs a program that has just
// started two page faults, and a buffer that grows takes one size after the other: so all have this one. Not inlined, or some would be
// on the stack, which costs as much where it grows.
//
//go:noinline
func Buffer() []byte { return make([]byte, 0, 1<<10) }

// envelope is a message as gRPC frames it: not compressed, its length, the message.
const envelopeHead = 5

func envelope(body []byte) []byte {
	framed := appendUint32(append(Buffer(), 0), uint32(len(body)))
	return append(framed, body...)
}

func opened(data []byte) ([]byte, error) {
	if len(data) < envelopeHead {
		return nil, io.ErrUnexpectedEOF
	}
	if data[0] != 0 {
		return nil, errors.New("the answer is compressed, which was not offered")
	}
	if n := uint32Of(data[1:]); uint64(n) != uint64(len(data)-envelopeHead) {
		return nil, errors.New("the answer has " + strconv.Itoa(len(data)-envelopeHead) + " bytes and announces " + strconv.Itoa(int(n)))
	}
	return data[envelopeHead:], nil
}
