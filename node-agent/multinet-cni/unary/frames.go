package unary

import (
	"errors"
	"io"
	"slices"
	"strconv"
)

// Frames, flags and settings of HTTP/2, RFC 9113.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1 // of DATA and HEADERS
	flagAck        = 0x1 // of SETTINGS and PING
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	settingTableSize     = 0x1
	settingInitialWindow = 0x4

	frameHead     = 9
	maxFrame      = 16384 // that every peer takes, and that we do
	initialWindow = 65535
	maxWindow     = 1<<31 - 1
	maxHeaders    = 16 << 10
	stream        = 1 // the only one
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// call is the one request of a connection.
type call struct {
	from io.Reader
	to   io.Writer

	// window of the connection and of the stream: how much may still be sent.
	connection, perStream int64
	// granted is what the stream's window began with.
	granted int64

	in     []byte // what was read
	unread []byte // the last part of it
	block  []byte // of headers that goes on in the next frame
	ends   bool   // the block ends the stream
	head   answerHead
	data   []byte
	done   bool
}

// answerHead is what the fields before and behind an answer say.
type answerHead struct{ http, status, message string }

func newCall(from io.Reader, to io.Writer) *call {
	return &call{
		from: from, to: to,
		connection: initialWindow, perStream: initialWindow, granted: initialWindow,
		in: Buffer(), data: Buffer(),
	}
}

func appendFrame(to []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	to = append(to, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	to = appendUint32(to, stream)
	return append(to, payload...)
}

func appendUint32(to []byte, n uint32) []byte {
	return append(to, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// uint32Of reads the first four bytes.
func uint32Of(p []byte) uint32 {
	return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
}

// noTable is the setting that the server keeps no table of header fields.
var noTable = []byte{0, settingTableSize, 0, 0, 0, 0}

// send writes the request, in one write where it fits. What does not fit waits until the server has made room.
func (c *call) send(headers, data []byte) error {
	out := appendFrame(append(Buffer(), preface...), frameSettings, 0, 0, noTable)
	out = appendFrame(out, frameHeaders, flagEndHeaders, stream, headers)
	for {
		n := min(int64(len(data)), maxFrame, c.connection, c.perStream)
		if n > 0 {
			var last byte
			if n == int64(len(data)) {
				last = flagEndStream
			}
			out = appendFrame(out, frameData, last, stream, data[:n])
			data, c.connection, c.perStream = data[n:], c.connection-n, c.perStream-n
		}
		if len(data) > 0 && min(c.connection, c.perStream) > 0 {
			continue
		}
		if _, err := c.to.Write(out); err != nil {
			return err
		}
		if out = nil; len(data) == 0 {
			return nil
		}
		if err := c.next(); err != nil {
			return err
		}
		if c.done {
			return nil // the server has answered without having read it all
		}
	}
}

// receive reads until the server has ended the stream.
func (c *call) receive() ([]byte, error) {
	for !c.done {
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	status, err := strconv.Atoi(c.head.status)
	if err != nil {
		return nil, errors.New("the answer is none of gRPC: HTTP status " + strconv.Quote(c.head.http) + ", gRPC status " + strconv.Quote(c.head.status))
	}
	if status != 0 {
		return nil, &Error{Code: status, Message: unescaped(c.head.message)}
	}
	return opened(c.data)
}

// next reads one frame and does what it demands. What is left of it is copied.
func (c *call) next() error {
	f, err := c.read()
	if err != nil {
		return err
	}
	if len(c.block) > 0 && f.kind != frameContinuation {
		return errors.New("headers are interrupted by another frame")
	}
	switch f.kind {
	case frameSettings:
		return c.settings(f)
	case framePing:
		if f.flags&flagAck == 0 {
			_, err = c.to.Write(appendFrame(nil, framePing, flagAck, 0, f.payload))
		}
		return err
	case frameWindowUpdate:
		return c.windowUpdate(f)
	case frameGoAway:
		return errors.New("the server closes the connection")
	}
	if f.stream != stream {
		return nil // a kind of frame that is not known is ignored
	}
	switch f.kind {
	case frameReset:
		return errors.New("the server has reset the call")
	case frameData:
		return c.receiveData(f)
	case frameHeaders:
		return c.headers(f)
	case frameContinuation:
		return c.addHeaders(f.flags, f.payload)
	}
	return nil
}

func (c *call) read() (frame, error) {
	head, err := c.take(frameHead)
	if err != nil {
		return frame{}, err
	}
	f := frame{kind: head[3], flags: head[4], stream: uint32Of(head[5:]) & maxWindow}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if n > maxFrame {
		return frame{}, errors.New("a frame of " + strconv.Itoa(n) + " bytes")
	}
	f.payload, err = c.take(n)
	return f, err
}

// take returns the next bytes, valid until the next call.
func (c *call) take(n int) ([]byte, error) {
	if missing := n - len(c.unread); missing > 0 {
		c.in = slices.Grow(append(c.in[:0], c.unread...), missing)
		more, err := io.ReadAtLeast(c.from, c.in[len(c.in):cap(c.in)], missing)
		if err != nil {
			return nil, err
		}
		c.in = c.in[:len(c.in)+more]
		c.unread = c.in
	}
	taken := c.unread[:n]
	c.unread = c.unread[n:]
	return taken, nil
}

// settings takes the window over. A larger frame than every peer takes is never sent.
func (c *call) settings(f frame) error {
	if f.flags&flagAck != 0 {
		return nil
	}
	for p := f.payload; len(p) >= 6; p = p[6:] {
		if uint32(p[0])<<8|uint32(p[1]) == settingInitialWindow {
			window := int64(uint32Of(p[2:]))
			c.perStream += window - c.granted
			c.granted = window
		}
	}
	_, err := c.to.Write(appendFrame(nil, frameSettings, flagAck, 0, nil))
	return err
}

func (c *call) windowUpdate(f frame) error {
	if len(f.payload) != 4 {
		return errors.New("a malformed window update")
	}
	more := int64(uint32Of(f.payload) & maxWindow)
	switch f.stream {
	case 0:
		c.connection += more
	case stream:
		c.perStream += more
	}
	return nil
}

func (c *call) receiveData(f frame) error {
	payload, err := unpadded(f)
	if err != nil {
		return err
	}
	if len(c.data)+len(payload) > MaxAnswer {
		return errors.New("the answer has more than " + strconv.Itoa(MaxAnswer) + " bytes")
	}
	c.data = append(c.data, payload...)
	c.done = c.done || f.flags&flagEndStream != 0
	return nil
}

func (c *call) headers(f frame) error {
	payload, err := unpadded(f)
	if err != nil {
		return err
	}
	if f.flags&flagPriority != 0 {
		if len(payload) < 5 {
			return io.ErrUnexpectedEOF
		}
		payload = payload[5:]
	}
	c.ends = f.flags&flagEndStream != 0
	return c.addHeaders(f.flags, payload)
}

func (c *call) addHeaders(flags byte, payload []byte) error {
	if len(c.block)+len(payload) > maxHeaders {
		return errors.New("headers have more than " + strconv.Itoa(maxHeaders) + " bytes")
	}
	if flags&flagEndHeaders == 0 {
		c.block = append(c.block, payload...)
		return nil
	}
	if len(c.block) > 0 {
		payload = append(c.block, payload...)
		c.block = nil
	}
	c.done = c.done || c.ends
	return fields(payload, func(name, value string) {
		switch name {
		case ":status":
			c.head.http = value
		case "grpc-status":
			c.head.status = value
		case "grpc-message":
			c.head.message = value
		}
	})
}

func unpadded(f frame) ([]byte, error) {
	if f.flags&flagPadded == 0 {
		return f.payload, nil
	}
	if len(f.payload) == 0 || int(f.payload[0]) >= len(f.payload) {
		return nil, errors.New("more padding than frame")
	}
	return f.payload[1 : len(f.payload)-int(f.payload[0])], nil
}
