package vmnode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multinet-dev/multinet/hack/cluster/command"
	"github.com/multinet-dev/multinet/hack/cluster/docker"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// diskSize is mostly holes: the node image, and room for the images that it unpacks.
const diskSize = 4 << 30

// EnsureDisk makes a file system of a node image, unless the cache has it, and returns its path. Guests don't change it.
func EnsureDisk(ctx context.Context, cache string, client docker.Client, image string, log *progress.Log) (string, error) {
	sum := sha256.Sum256([]byte(image))
	disk := filepath.Join(cache, "vm", "node-"+hex.EncodeToString(sum[:])[:12]+".ext4")
	if _, err := os.Stat(disk); err == nil || !errors.Is(err, os.ErrNotExist) {
		return disk, err
	}
	defer log.Step("making a disk of %s", image)()
	work := disk + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return "", fmt.Errorf("removing what an interrupted run left: %w", err)
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := export(ctx, client, image, work); err != nil {
		return "", fmt.Errorf("exporting %s: %w", image, err)
	}
	partial := filepath.Join(work, "ext4")
	if err := format(ctx, filepath.Join(work, "root"), partial); err != nil {
		return "", fmt.Errorf("making a disk of %s: %w", image, err)
	}
	return disk, os.Rename(partial, disk)
}

// export unpacks the image into the folder root of work.
func export(ctx context.Context, client docker.Client, image, work string) (err error) {
	container, err := client.Run(ctx, "create", "--network", "none", image)
	if err != nil {
		return err
	}
	defer func() {
		_, removed := client.Run(context.WithoutCancel(ctx), "rm", "--force", "--volumes", container)
		err = errors.Join(err, removed)
	}()
	archive, root := filepath.Join(work, "tar"), filepath.Join(work, "root")
	if _, err := client.Run(ctx, "export", "--output", archive, container); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if _, err := command.New("tar", "--extract", "--preserve-permissions", "--numeric-owner", "--file", archive, "--directory", root).Run(ctx); err != nil {
		return err
	}
	return os.Remove(archive)
}

func format(ctx context.Context, root, target string) error {
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(target, diskSize); err != nil {
		return err
	}
	_, err := command.New("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root, target).Run(ctx)
	return err
}
