package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
	"github.com/multinet-dev/multinet/apis/agent/v1/service"
)

// Limits of a connection: its handshake, and a request, which is longest where a node has many valid attachments.
const (
	handshakeLimit = 2 * time.Second
	maxRequest     = 8 << 20
	// window is granted at once, so that no request waits for more room.
	window = 1 << 20
	// buffer is what a connection reads and writes at once. It serves one call, which is smaller as a rule.
	buffer = 4 << 10
)

// Serve answers the plugin on a Unix socket until ctx ends. ready is called when it does.
func Serve(ctx context.Context, log logr.Logger, socket string, s Sandboxes, ready func()) error {
	listener, err := listen(socket)
	if err != nil {
		return fmt.Errorf("socket of the CNI plugin: %w", err)
	}
	g := grpc.NewServer(grpc.ConnectionTimeout(handshakeLimit), grpc.MaxRecvMsgSize(maxRequest),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window), grpc.ReadBufferSize(buffer), grpc.WriteBufferSize(buffer))
	service.RegisterSandboxesServer(g, &server{log: log, sandboxes: s})
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			g.Stop()
		case <-ended:
		}
	}()
	ready()
	if err := g.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve the CNI plugin on %s: %w", socket, err)
	}
	return nil
}

// listen makes a socket that nobody but root can reach: its folder is closed before it is there. What a killed agent left is
// replaced.
func listen(socket string) (net.Listener, error) {
	dir := filepath.Dir(socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// Drain ends the sandboxes that the plugin has noted while no agent answered.
func Drain(ctx context.Context, log logr.Logger, dir string, s Sandboxes) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		log.Error(err, "sandboxes that ended while the agent was away")
		return
	}
	for _, entry := range entries {
		if entry.Name()[0] == '.' {
			continue // not finished yet, or never
		}
		path := filepath.Join(dir, entry.Name())
		if err := drainOne(ctx, path, s); err != nil {
			log.Error(err, "a sandbox that ended while the agent was away", "file", path)
		}
	}
}

// KeepDrained drains until ctx ends, by either door. A node that is not reached over CNI any more has calls that were on their way
// when that changed, and end in notes.
func KeepDrained(ctx context.Context, log logr.Logger, dir string, s Sandboxes) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			Drain(ctx, log, dir, s)
		}
	}
}

// drainOne removes a note that nobody can read as well: the end of the namespace tells the same, later.
func drainOne(ctx context.Context, path string, s Sandboxes) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var request agentv1.DeleteRequest
	err = proto.Unmarshal(content, &request)
	if err == nil {
		end(ctx, s, request.Sandbox)
	}
	return errors.Join(err, os.Remove(path))
}
