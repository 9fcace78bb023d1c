package nri

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/containerd/nri/pkg/api"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// keeper records what reaches it.
type keeper struct {
	calls []string
	last  sandboxes.Sandbox
	err   error
}

func (k *keeper) RunSandbox(_ context.Context, s sandboxes.Sandbox) error {
	k.calls, k.last = append(k.calls, "run"), s
	return k.err
}
func (k *keeper) CheckSandbox(_ context.Context, s sandboxes.Sandbox) (sandboxes.Container, error) {
	k.calls = append(k.calls, "check")
	if s.Selection == "" {
		return sandboxes.Container{}, nil
	}
	return sandboxes.Container{
		NetworksFile: "/run/multinet/pods/u/networks.json", Env: []sandboxes.Variable{{Name: "PCIDEVICE_MULTINET_DEV_ENS9", Value: "0000:01:10.0"}},
		Devices: []sandboxes.CharacterDevice{{Path: "/dev/vfio/12", Major: 243, Minor: 1}},
	}, k.err
}
func (k *keeper) StopSandbox(context.Context, sandboxes.Sandbox) { k.calls = append(k.calls, "stop") }
func (k *keeper) RemoveSandbox(string)                           { k.calls = append(k.calls, "remove") }
func (k *keeper) Disconnected()                                  {}
func (k *keeper) Synchronize(list []sandboxes.Sandbox) {
	for _, s := range list {
		k.calls = append(k.calls, "sync "+s.ID)
	}
}

func pod(annotations map[string]string) *api.PodSandbox {
	return &api.PodSandbox{Id: "box", Uid: "u", Name: "p", Namespace: "ns", Annotations: annotations, Ips: []string{"10.244.0.7", "fd00::7"},
		Linux: &api.LinuxPodSandbox{Namespaces: []*api.LinuxNamespace{{Type: "ipc"}, {Type: "network", Path: "/var/run/netns/cni-1"}}}}
}

func TestHooks(t *testing.T) {
	selecting := map[string]string{"multinet.dev/networks": "storage"}
	want := []string{"sync box", "run", "check", "stop", "remove"}
	for name, test := range map[string]struct {
		annotations map[string]string
		adjusted    bool
	}{
		"a pod with networks": {selecting, true},
		// It may be given some later.
		"a pod without": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &keeper{}
			p := &plugin{log: logr.Discard(), sandboxes: k, synchronized: func() {}}
			box := pod(test.annotations)
			if _, err := p.Synchronize(t.Context(), []*api.PodSandbox{box}, nil); err != nil {
				t.Error(err)
			}
			if err := p.RunPodSandbox(t.Context(), box); err != nil {
				t.Error(err)
			}
			adjustment, _, err := p.CreateContainer(t.Context(), box, nil)
			if err != nil || (adjustment != nil) != test.adjusted {
				t.Error(adjustment, err)
			}
			if err := errors.Join(p.StopPodSandbox(t.Context(), box), p.RemovePodSandbox(t.Context(), box)); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, k.calls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTranslation(t *testing.T) {
	k := &keeper{err: errors.New("no luck")}
	p := &plugin{log: logr.Discard(), sandboxes: k, synchronized: func() {}}
	box := pod(map[string]string{"multinet.dev/networks": "storage@data"})
	if err := p.RunPodSandbox(t.Context(), box); err == nil || err.Error() != "multinet: no luck" {
		t.Errorf("run: %v", err)
	}
	if adjustment, _, err := p.CreateContainer(t.Context(), box, nil); adjustment != nil || err == nil || err.Error() != "multinet: no luck" {
		t.Errorf("create: %v %v", adjustment, err)
	}
	created := ""
	edited := pod(map[string]string{"multinet.dev/networks": "storage@data", "multinet.dev/networks-at-creation": created})
	if s := sandboxOf(edited); s.AtCreation == nil || *s.AtCreation != created {
		t.Errorf("an edited pod: %+v", s)
	}
	want := sandboxes.Sandbox{ID: "box", Namespace: "ns", Name: "p", PodUID: "u", NetNS: "/var/run/netns/cni-1", Selection: "storage@data",
		IPs: []netip.Addr{netip.MustParseAddr("10.244.0.7"), netip.MustParseAddr("fd00::7")}}
	if diff := cmp.Diff(want, k.last, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestContainerGetsWhatThePodHas(t *testing.T) {
	p := &plugin{log: logr.Discard(), sandboxes: &keeper{}, synchronized: func() {}}
	adjustment, _, err := p.CreateContainer(t.Context(), pod(map[string]string{"multinet.dev/networks": "fast"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := adjustment.Mounts; len(m) != 1 || m[0].Source != "/run/multinet/pods/u/networks.json" || m[0].Destination != "/run/multinet/networks.json" {
		t.Errorf("mounts %v", m)
	}
	if e := adjustment.Env; len(e) != 1 || e[0].Key != "PCIDEVICE_MULTINET_DEV_ENS9" || e[0].Value != "0000:01:10.0" {
		t.Errorf("env %v", e)
	}
	if d := adjustment.GetLinux().GetDevices(); len(d) != 1 || d[0].Path != "/dev/vfio/12" || d[0].Type != "c" || d[0].Major != 243 || d[0].Minor != 1 {
		t.Errorf("devices %v", d)
	}
}

func BenchmarkPodWithoutNetworks(b *testing.B) {
	p := &plugin{log: logr.Discard(), sandboxes: &keeper{}, synchronized: func() {}}
	box := pod(map[string]string{"a": "b", "c": "d"})
	for b.Loop() {
		if err := p.RunPodSandbox(b.Context(), box); err != nil {
			b.Fatal(err)
		}
	}
}
