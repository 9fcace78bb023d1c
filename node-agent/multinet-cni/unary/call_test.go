package unary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/multinet-dev/multinet/apis/agent"
	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
	"github.com/multinet-dev/multinet/apis/agent/v1/service"
)

// answers is the gRPC library's server with a handler of the test.
type answers struct {
	service.UnimplementedSandboxesServer
	collect func(context.Context, *agentv1.CollectRequest) (*agentv1.CollectResponse, error)
}

func (a answers) Collect(ctx context.Context, r *agentv1.CollectRequest) (*agentv1.CollectResponse, error) {
	return a.collect(ctx, r)
}

func serve(t *testing.T, a answers, options ...grpc.ServerOption) net.Conn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	service.RegisterSandboxesServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange makes a call with messages of the generated code.
func exchange(conn net.Conn, method string, request, answer proto.Message) error {
	const limit = 15 * time.Second
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	body, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	data, err := Call(conn, conn, method, limit.Milliseconds(), body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, answer)
}

func manyValid(n int) (valid []*agentv1.Valid) {
	for i := range n {
		valid = append(valid, &agentv1.Valid{Id: fmt.Sprintf("%064d", i), Interface: "eth0"})
	}
	return valid
}

func TestCall(t *testing.T) {
	for name, test := range map[string]struct {
		valid   int
		options []grpc.ServerOption
	}{
		"small":                       {valid: 1},
		"beyond one frame":            {valid: 500},
		"beyond the window":           {valid: 5000},
		"beyond a window that is set": {valid: 5000, options: []grpc.ServerOption{grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(1 << 20)}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, answers{collect: func(ctx context.Context, r *agentv1.CollectRequest) (*agentv1.CollectResponse, error) {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 20*time.Second {
					t.Errorf("the server's deadline is %v, %v", deadline, ok)
				}
				return &agentv1.CollectResponse{Failure: &agentv1.Failure{Code: uint32(len(r.Valid)), Details: strings.Repeat("x", 20000)}}, nil
			}}, test.options...)
			var answer agentv1.CollectResponse
			err := exchange(conn, agent.MethodCollect, &agentv1.CollectRequest{Network: "n", Valid: manyValid(test.valid)}, &answer)
			if err != nil || answer.Failure.GetCode() != uint32(test.valid) || len(answer.Failure.GetDetails()) != 20000 {
				t.Errorf("%d of %d valid, %v", answer.Failure.GetCode(), test.valid, err)
			}
		})
	}
}

func TestCallFails(t *testing.T) {
	for name, test := range map[string]struct {
		collect func(context.Context, *agentv1.CollectRequest) (*agentv1.CollectResponse, error)
		method  string
		want    string
		code    codes.Code
	}{
		"refused": {code: codes.PermissionDenied, want: "no: 100 % ü",
			collect: func(context.Context, *agentv1.CollectRequest) (*agentv1.CollectResponse, error) {
				return nil, status.Error(codes.PermissionDenied, "no: 100 % ü")
			}},
		"unknown method": {method: "/multinet.agent.v1.Sandboxes/Later", code: codes.Unimplemented, want: "Later"},
		"answer too long": {want: "more than", collect: func(context.Context, *agentv1.CollectRequest) (*agentv1.CollectResponse, error) {
			return &agentv1.CollectResponse{Failure: &agentv1.Failure{Details: strings.Repeat("x", MaxAnswer)}}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = agent.MethodCollect
			}
			err := exchange(serve(t, answers{collect: test.collect}), method, &agentv1.CollectRequest{}, &agentv1.CollectResponse{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			var ended *Error
			if errors.As(err, &ended) != (test.code != codes.OK) || ended != nil && ended.Code != int(test.code) {
				t.Errorf("status is %+v, want %s", ended, test.code)
			}
		})
	}
}

// FuzzReceive: no bytes of a server make the caller hang or crash.
func FuzzReceive(f *testing.F) {
	head := appendFrame(nil, frameSettings, 0, 0, []byte{0, settingInitialWindow, 0, 0, 0, 1})
	head = appendFrame(head, frameHeaders, flagEndHeaders, stream, headers("/", 1000))
	f.Add(appendFrame(head, frameData, flagEndStream, stream, envelope([]byte("x"))))
	f.Add(appendFrame(head, frameData, flagPadded, stream, []byte{9, 1}))
	f.Add(appendFrame(appendFrame(nil, frameHeaders, flagPriority, stream, []byte{1, 2}), frameContinuation, flagEndHeaders, stream, nil))
	f.Add(appendFrame(appendFrame(nil, framePing, 0, 0, make([]byte, 8)), frameGoAway, 0, 0, nil))
	f.Add(appendFrame(nil, frameWindowUpdate, 0, 0, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := newCall(bytes.NewReader(sent), io.Discard)
		if err := c.send([]byte{}, make([]byte, 70000)); err != nil {
			return
		}
		if data, err := c.receive(); err == nil && len(data) > MaxAnswer {
			t.Errorf("an answer of %d bytes", len(data))
		}
	})
}
