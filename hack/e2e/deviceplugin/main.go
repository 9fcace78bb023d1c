// Command deviceplugin plays a device plugin: the devices that it offers to the kubelet are nothing but their IDs. Tests run it on a
// node.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	devicepluginv1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "e2e-deviceplugin.sock"

func main() {
	resource := flag.String("resource", "", "`name` of the extended resource")
	devices := flag.String("devices", "", "comma list of `IDs`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *resource, strings.Split(*devices, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, resource string, ids []string) error {
	path := filepath.Join(devicepluginv1beta1.DevicePluginPath, socket)
	_ = os.Remove(path) // of a former process
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	devicepluginv1beta1.RegisterDevicePluginServer(server, plugin{ids: ids})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := register(ctx, resource); err != nil {
		return fmt.Errorf("registering %s with the kubelet: %w", resource, err)
	}
	<-ctx.Done()
	server.Stop()
	return <-served
}

func register(ctx context.Context, resource string) error {
	conn, err := grpc.NewClient("unix://"+devicepluginv1beta1.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = devicepluginv1beta1.NewRegistrationClient(conn).Register(ctx, &devicepluginv1beta1.RegisterRequest{
		Version: devicepluginv1beta1.Version, Endpoint: socket, ResourceName: resource})
	return err
}

type plugin struct {
	devicepluginv1beta1.UnimplementedDevicePluginServer
	ids []string
}

// GetDevicePluginOptions asks for no further calls.
func (plugin) GetDevicePluginOptions(context.Context, *devicepluginv1beta1.Empty) (*devicepluginv1beta1.DevicePluginOptions, error) {
	return &devicepluginv1beta1.DevicePluginOptions{}, nil
}

// ListAndWatch tells the devices once, since nothing happens to them.
func (p plugin) ListAndWatch(_ *devicepluginv1beta1.Empty, stream grpc.ServerStreamingServer[devicepluginv1beta1.ListAndWatchResponse]) error {
	var list devicepluginv1beta1.ListAndWatchResponse
	for _, id := range p.ids {
		list.Devices = append(list.Devices, &devicepluginv1beta1.Device{ID: id, Health: devicepluginv1beta1.Healthy})
	}
	if err := stream.Send(&list); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Allocate gives containers nothing.
func (plugin) Allocate(_ context.Context, r *devicepluginv1beta1.AllocateRequest) (*devicepluginv1beta1.AllocateResponse, error) {
	answer := &devicepluginv1beta1.AllocateResponse{}
	for range r.GetContainerRequests() {
		answer.ContainerResponses = append(answer.ContainerResponses, &devicepluginv1beta1.ContainerAllocateResponse{})
	}
	return answer, nil
}
