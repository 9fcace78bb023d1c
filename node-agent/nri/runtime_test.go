package nri

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
)

// runtime is the runtime's end of one connection, as containerd's adaptation package is it.
type runtime struct {
	mux        multiplex.Mux
	server     *ttrpc.Server
	plugin     api.PluginService
	registered chan struct{}
}

func newRuntime(t *testing.T, conn net.Conn) *runtime {
	r := &runtime{mux: multiplex.Multiplex(conn, multiplex.WithBlockedRead()), registered: make(chan struct{})}
	trunk, err := r.mux.Open(multiplex.PluginServiceConn)
	if err != nil {
		t.Fatal(err)
	}
	r.plugin = api.NewPluginClient(ttrpc.NewClient(trunk))
	listener, err := r.mux.Listen(multiplex.RuntimeServiceConn)
	if err != nil {
		t.Fatal(err)
	}
	r.server, err = ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	api.RegisterRuntimeService(r.server, r)
	go func() { _ = r.server.Serve(context.Background(), listener) }()
	r.mux.Unblock()
	return r
}

// RegisterPlugin is the first call of a plugin.
func (r *runtime) RegisterPlugin(context.Context, *api.RegisterPluginRequest) (*api.Empty, error) {
	close(r.registered)
	return &api.Empty{}, nil
}

func (r *runtime) UpdateContainers(context.Context, *api.UpdateContainersRequest) (*api.UpdateContainersResponse, error) {
	return nil, errors.New("nobody asks for that")
}

// synchronize does what a runtime does with a plugin that has registered.
func (r *runtime) synchronize(t *testing.T, pods ...*api.PodSandbox) {
	t.Helper()
	<-r.registered
	if _, err := r.plugin.Configure(t.Context(), &api.ConfigureRequest{RuntimeName: "containerd", RuntimeVersion: "2.4.2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.plugin.Synchronize(t.Context(), &api.SynchronizeRequest{Pods: pods}); err != nil {
		t.Fatal(err)
	}
}

// close ends the connection, as the end of the runtime's process does.
func (r *runtime) close() {
	_ = r.server.Close()
	_ = r.mux.Close()
}
