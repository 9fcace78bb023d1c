// Package unary makes one gRPC call over a connection: a request, an answer, no stream. It speaks just enough HTTP/2 for
// that (RFC 9113, and gRPC over HTTP/2).
//
// It is here because a CNI plugin is a process that lives for one call. The gRPC library brings net/http, TLS and its own
// machinery, whose start alone takes longer than the call.
package unary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"
)

// MaxAnswer is the most that an answer may have, in bytes. It fits into the window that HTTP/2 grants without asking.
const MaxAnswer = 32 << 10

// Error is a call that the server has ended with a status other than OK.
type Error struct {
	// Code as in google.golang.org/grpc/codes.
	Code    int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("gRPC status %d: %s", e.Code, e.Message) }

// Call sends a message to a method, such as "/multinet.agent.v1.Sandboxes/Add", and returns the message of its answer. The server is
// told how long the caller waits; that the connection itself gives up then is the caller's to see to. A connection serves one call.
func Call(conn io.ReadWriter, method string, limit time.Duration, message []byte) ([]byte, error) {
	c := newCall(conn)
	if err := c.send(headers(method, limit), envelope(message)); err != nil {
		return nil, err
	}
	return c.receive()
}

// headers of the request. gRPC requires all of them.
func headers(method string, limit time.Duration) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "localhost"},
		{"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "multinet-cni"},
		{"grpc-timeout", strconv.FormatInt(max(limit.Milliseconds(), 1), 10) + "m"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a buffer takes everything
	}
	return block.Bytes()
}

// envelope is a message as gRPC frames it: not compressed, its length, the message.
const envelopeHead = 5

func envelope(body []byte) []byte {
	framed := make([]byte, envelopeHead, envelopeHead+len(body))
	binary.BigEndian.PutUint32(framed[1:], uint32(len(body)))
	return append(framed, body...)
}

func opened(data []byte) ([]byte, error) {
	if len(data) < envelopeHead {
		return nil, io.ErrUnexpectedEOF
	}
	if data[0] != 0 {
		return nil, errors.New("the answer is compressed, which was not offered")
	}
	if n := binary.BigEndian.Uint32(data[1:]); uint64(n) != uint64(len(data)-envelopeHead) {
		return nil, fmt.Errorf("the answer has %d bytes and announces %d", len(data)-envelopeHead, n)
	}
	return data[envelopeHead:], nil
}
