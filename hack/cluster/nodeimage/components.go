package nodeimage

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multinet-dev/multinet/hack/cluster/archive"
	"github.com/multinet-dev/multinet/hack/cluster/binaries"
	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// Testbox is the image with a shell and network tools that demos and tests run pods of. Built node images
// contain it, so that it needs no registry and no loading.
const Testbox = "multinet.dev/testbox:dev"

// sandboxImage is the one that kind's containerd config names; kubeadm asks for another tag of the same.
const sandboxImage = "registry.k8s.io/pause:3.10"

// componentNames asks kubeadm which images it will look for.
func (b Builder) componentNames(ctx context.Context) ([]string, error) {
	kubeadm := filepath.Join(b.Programs.Folder(b.Set.Kubernetes), "kubeadm")
	out, err := command.New(kubeadm, "config", "images", "list", "--kubernetes-version", b.Set.Kubernetes.Version).Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking kubeadm for its images: %w", err)
	}
	return strings.Fields(out), nil
}

// writeComponents puts every image that a cluster needs into one archive.
func (b Builder) writeComponents(ctx context.Context, target string) error {
	names, err := b.componentNames(ctx)
	if err != nil {
		return err
	}
	testbox, err := b.testbox(ctx)
	if err != nil {
		return err
	}
	images := []archive.Image{testbox}
	for _, n := range names {
		image, err := b.component(n, testbox.Layers[0])
		if err != nil {
			return fmt.Errorf("component image %s: %w", n, err)
		}
		images = append(images, image)
	}
	return archive.Write(target, images)
}

// component makes the image that answers to a name which kubeadm asks for.
func (b Builder) component(name string, tools v1.Layer) (archive.Image, error) {
	repository, _, _ := strings.Cut(name, ":")
	program := path.Base(repository)
	names, folder, module := []string{name}, "/usr/local/bin/", b.Set.Kubernetes
	var below []v1.Layer
	switch program {
	case "etcd":
		module = b.Set.Etcd
	case "coredns":
		module, folder = b.Set.CoreDNS, "/"
	case "pause":
		return b.pauseImage(append(names, sandboxImage))
	case "kube-proxy":
		below = []v1.Layer{tools} // nft and conntrack
	}
	source := filepath.Join(b.Programs.Folder(module), program)
	layer, err := archive.Layer([]archive.File{{Path: folder + program, Mode: 0o755, Source: source}})
	if err != nil {
		return archive.Image{}, err
	}
	return archive.Image{Names: names, Layers: append(below, layer), Entrypoint: []string{folder + program}}, nil
}

func (b Builder) pauseImage(names []string) (archive.Image, error) {
	layer, err := archive.Layer([]archive.File{{Path: "/pause", Mode: 0o755, Source: b.pauseProgram()}})
	return archive.Image{Names: names, Layers: []v1.Layer{layer}, Entrypoint: []string{"/pause"}}, err
}

// testbox waits by default and ends at once when told to, which a shell's sleep as process 1 does not.
func (b Builder) testbox(ctx context.Context) (archive.Image, error) {
	rootfs, err := b.ensure(ctx, testboxRootfs)
	if err != nil {
		return archive.Image{}, err
	}
	base, err := archive.LayerFromTar(rootfs)
	if err != nil {
		return archive.Image{}, fmt.Errorf("testbox: %w", err)
	}
	if err := b.ensurePause(ctx); err != nil {
		return archive.Image{}, err
	}
	pause, err := archive.Layer([]archive.File{{Path: "/pause", Mode: 0o755, Source: b.pauseProgram()}})
	return archive.Image{Names: []string{Testbox}, Layers: []v1.Layer{base, pause}, Cmd: []string{"/pause"}}, err
}

func (b Builder) pauseProgram() string { return filepath.Join(b.Cache, "binaries", "pause", "pause") }

// ensurePause always asks the compiler, which takes no time when nothing changed.
func (b Builder) ensurePause(ctx context.Context) error {
	if err := binaries.Build(ctx, b.pauseDir(), ".", b.pauseProgram(), "", "-s -w"); err != nil {
		return fmt.Errorf("building pause: %w", err)
	}
	return nil
}

// WriteTestbox writes the testbox image alone, for clusters whose node image came from a registry.
func (b Builder) WriteTestbox(ctx context.Context, target string) error {
	image, err := b.testbox(ctx)
	if err != nil {
		return err
	}
	return archive.Write(target, []archive.Image{image})
}
