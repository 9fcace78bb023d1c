package binaries

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// Set is every module that a node image is built from.
type Set struct {
	Kubernetes, Etcd, Containerd, CoreDNS, CNI Module
}

// LoadSet reads the tools modules of the checkout.
func LoadSet(ctx context.Context, repository string) (Set, error) {
	out, err := command.New("go", "env", "GOVERSION").Run(ctx)
	if err != nil {
		return Set{}, fmt.Errorf("asking for the Go version: %w", err)
	}
	folder, version := filepath.Join(repository, "hack", "node-image"), strings.TrimSpace(out)
	var s Set
	for name, target := range map[string]*Module{
		"kubernetes": &s.Kubernetes, "etcd": &s.Etcd, "containerd": &s.Containerd,
		"coredns": &s.CoreDNS, "cni-plugins": &s.CNI,
	} {
		if *target, err = Load(folder, name, version); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

// All lists the modules in the order in which others wait for them: the API server first.
func (s Set) All() []Module {
	return []Module{s.Kubernetes, s.Etcd, s.Containerd, s.CNI, s.CoreDNS}
}

// Keys identifies the whole set.
func (s Set) Keys() []string {
	var keys []string
	for _, m := range s.All() {
		keys = append(keys, m.Name+"-"+m.Version+"-"+m.Key)
	}
	return keys
}

// EnsureAll builds whatever the cache lacks.
func (b Builder) EnsureAll(ctx context.Context, s Set) error {
	if err := b.EnsureEnvtest(ctx, s); err != nil {
		return err
	}
	for _, m := range s.All() {
		if err := b.Ensure(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// EnvtestFolder is the folder for KUBEBUILDER_ASSETS. If it exists, it is complete.
func (b Builder) EnvtestFolder(s Set) string {
	return filepath.Join(b.Cache, "envtest", s.Kubernetes.Version+"-"+s.Kubernetes.Key+"-"+s.Etcd.Key)
}

// EnsureEnvtest builds what a test API server needs and gathers it in the envtest folder.
func (b Builder) EnsureEnvtest(ctx context.Context, s Set) error {
	if err := b.Ensure(ctx, s.Kubernetes, "kube-apiserver", "kubectl"); err != nil {
		return err
	}
	if err := b.Ensure(ctx, s.Etcd, "etcd"); err != nil {
		return err
	}
	folder := b.EnvtestFolder(s)
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("making envtest folder: %w", err)
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return fmt.Errorf("making envtest folder: %w", err)
	}
	for name, m := range map[string]Module{"kube-apiserver": s.Kubernetes, "kubectl": s.Kubernetes, "etcd": s.Etcd} {
		if err := os.Symlink(filepath.Join(b.Folder(m), name), filepath.Join(partial, name)); err != nil {
			return fmt.Errorf("linking %s into envtest folder: %w", name, err)
		}
	}
	return os.Rename(partial, folder)
}
