// Package nri is the door of the container runtime. It translates hooks into calls of the sandboxes' keeper.
//
// The runtime serializes all hooks of a node by one lock, gives each 2 s, and disconnects a plugin that takes
// longer; the pod then starts without it. So a hook must be short, must end with an error before that, and costs
// a pod that selects no network a few look-ups in memory: it may be given interfaces later.
package nri

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/containerd/nri/pkg/api"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// Sandboxes is what the hooks call, of all pods of the node.
type Sandboxes interface {
	RunSandbox(context.Context, sandboxes.Sandbox) error
	// CheckSandbox returns what the pod's containers get.
	CheckSandbox(context.Context, sandboxes.Sandbox) (sandboxes.Container, error)
	StopSandbox(context.Context, sandboxes.Sandbox)
	RemoveSandbox(id string)
	Synchronize([]sandboxes.Sandbox)
	Disconnected()
}

// plugin has a method for each hook that the runtime is to call.
type plugin struct {
	log       logr.Logger
	sandboxes Sandboxes
	// synchronized is called after each Synchronize.
	synchronized func()
}

// Synchronize comes once after each connect, and blocks the runtime until it returns.
func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, _ []*api.Container) ([]*api.ContainerUpdate, error) {
	list := make([]sandboxes.Sandbox, 0, len(pods))
	for _, pod := range pods {
		list = append(list, sandboxOf(pod))
	}
	p.sandboxes.Synchronize(list)
	p.synchronized()
	return nil, nil
}

// RunPodSandbox comes after the primary CNI and before any container. An error undoes the sandbox; the kubelet
// tries again after 13 to 16 s.
func (p *plugin) RunPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return named(p.sandboxes.RunSandbox(ctx, sandboxOf(pod)))
}

// CreateContainer refuses containers of a sandbox that is not attached: one that was made while the agent was not
// connected has missed RunPodSandbox.
func (p *plugin) CreateContainer(ctx context.Context, pod *api.PodSandbox, _ *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	container, err := p.sandboxes.CheckSandbox(ctx, sandboxOf(pod))
	if err != nil || container.NetworksFile == "" {
		return nil, nil, named(err)
	}
	return adjustmentOf(container), nil, nil
}

// adjustmentOf gives a container devices by their numbers: the claim of a pod that selects networks by annotation is named by none
// of its containers, so that the kubelet would give them nothing.
func adjustmentOf(c sandboxes.Container) *api.ContainerAdjustment {
	adjustment := &api.ContainerAdjustment{}
	adjustment.AddMount(&api.Mount{
		Source: c.NetworksFile, Destination: sandboxes.PathInContainer, Type: "bind",
		Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"},
	})
	for _, v := range c.Env {
		adjustment.AddEnv(v.Name, v.Value)
	}
	for _, d := range c.Devices {
		adjustment.AddDevice(&api.LinuxDevice{Path: d.Path, Type: "c", Major: d.Major, Minor: d.Minor})
	}
	return adjustment
}

// StopPodSandbox comes before CNI DEL, and again whenever the kubelet is not sure. It never fails.
func (p *plugin) StopPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	p.log.V(2).Info("StopPodSandbox", "pod", pod.Namespace+"/"+pod.Name, "id", pod.Id)
	p.sandboxes.StopSandbox(ctx, sandboxOf(pod))
	return nil
}

// RemovePodSandbox comes when the stopped sandbox is forgotten, which may be much later.
func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.log.V(2).Info("RemovePodSandbox", "pod", pod.Namespace+"/"+pod.Name, "id", pod.Id)
	p.sandboxes.RemoveSandbox(pod.Id)
	return nil
}

// named puts our name before an error: the runtime passes on the text alone, as an event of the pod.
func named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("multinet: %w", err)
}

func sandboxOf(pod *api.PodSandbox) sandboxes.Sandbox {
	s := sandboxes.Sandbox{
		ID: pod.Id, Namespace: pod.Namespace, Name: pod.Name, PodUID: types.UID(pod.Uid),
		Selection: pod.Annotations[v1alpha1.AnnotationNetworks],
	}
	if created, edited := pod.Annotations[v1alpha1.AnnotationAtCreation]; edited {
		s.AtCreation = &created
	}
	for _, ns := range pod.GetLinux().GetNamespaces() {
		if ns.Type == "network" {
			s.NetNS = ns.Path
		}
	}
	for _, ip := range pod.Ips {
		if addr, err := netip.ParseAddr(ip); err == nil {
			s.IPs = append(s.IPs, addr)
		}
	}
	return s
}
