package nodeimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// assemble turns files into an image that holds the component images in its content store, as kind's does.
func (b Builder) assemble(ctx context.Context, name string) (err error) {
	rootfs, err := b.ensure(ctx, nodeRootfs)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(b.Cache, "node-image-")
	if err != nil {
		return fmt.Errorf("making work folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	components := filepath.Join(work, "components.tar")
	done := b.Log.Step("packing the component images")
	if err := b.writeComponents(ctx, components); err != nil {
		return err
	}
	done()
	base := name + "-base"
	if err := b.importNode(ctx, rootfs, base); err != nil {
		return err
	}
	if err := b.fill(ctx, base, components, name); err != nil {
		return fmt.Errorf("importing component images: %w", err)
	}
	_, err = b.Docker.Run(ctx, "rmi", base)
	return err
}

// importNode streams the root file system into Docker; nothing of it is written to disk in between.
func (b Builder) importNode(ctx context.Context, rootfs, base string) error {
	defer b.Log.Step("importing the node's root file system")()
	files, err := b.nodeFiles(ctx)
	if err != nil {
		return err
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeNode(writer, rootfs, files)) }()
	// systemd looks at the variable: https://systemd.io/CONTAINER_INTERFACE/
	_, err = b.Docker.Pipe(ctx, reader, "import", "--change", "ENV container=docker", "-", base)
	return errors.Join(err, reader.Close())
}

// fillScript starts containerd just long enough to take the images in. They are not unpacked: that
// happens on the node, in the volume that kind mounts over /var. Pinned images survive garbage collection.
const fillScript = `set -eu
containerd >/tmp/containerd.log 2>&1 &
pid=$!
tries=0
until ctr version >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ]; then tail -n 20 /tmp/containerd.log >&2; exit 1; fi
  sleep 0.1
done
ctr -n k8s.io images import --label io.cri-containerd.pinned=pinned --no-unpack -
kill $pid
wait $pid || true
rm -f /tmp/containerd.log
`

func (b Builder) fill(ctx context.Context, base, components, name string) (err error) {
	defer b.Log.Step("importing the component images")()
	images, err := os.Open(components)
	if err != nil {
		return err
	}
	defer images.Close()
	// The image inherits the signal: systemd ends on it and re-executes itself on SIGTERM. Docker 20.10 has
	// no other way to set it outside a Dockerfile.
	container, err := b.Docker.Run(ctx, "create", "--interactive", "--network", "none", "--stop-signal", "SIGRTMIN+3",
		"--security-opt", "seccomp=unconfined", "--entrypoint", "/bin/sh", base, "-c", fillScript)
	if err != nil {
		return err
	}
	defer func() {
		_, removed := b.Docker.Run(context.WithoutCancel(ctx), "rm", "--force", "--volumes", container)
		err = errors.Join(err, removed)
	}()
	if _, err := b.Docker.Pipe(ctx, images, "start", "--attach", "--interactive", container); err != nil {
		return err
	}
	_, err = b.Docker.Run(ctx, "commit", "--change", `ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`,
		"--change", "CMD []", container, name)
	return err
}
