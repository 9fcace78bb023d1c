// Package nodeimage makes the image that kind nodes run: taken from the registry where one is in reach,
// otherwise built from Go modules and Debian packages.
package nodeimage

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/binaries"
	"github.com/multinet-dev/multinet/hack/cluster/command"
	"github.com/multinet-dev/multinet/hack/cluster/docker"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// recipe is everything in this package that shapes the image: a changed recipe is another image.
//
//go:embed rootfs.go node.go containerd.go components.go assemble.go files
var recipe embed.FS

// Builder builds node images into a cache.
type Builder struct {
	Cache      string
	Repository string
	Docker     docker.Client
	Programs   binaries.Builder
	Set        binaries.Set
	Log        *progress.Log
}

// Name is the image that this checkout's inputs make.
func (b Builder) Name() (string, error) {
	key, err := b.key()
	if err != nil {
		return "", err
	}
	return "multinet.dev/node:" + b.Set.Kubernetes.Version + "-" + key, nil
}

func (b Builder) key() (string, error) {
	inputs := b.Set.Keys()
	err := fs.WalkDir(recipe, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := recipe.ReadFile(path)
		inputs = append(inputs, string(data))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the recipe: %w", err)
	}
	pause, err := os.ReadFile(filepath.Join(b.pauseDir(), "main.go"))
	if err != nil {
		return "", fmt.Errorf("reading the pause program: %w", err)
	}
	return hash(append(inputs, string(pause))...), nil
}

func (b Builder) pauseDir() string { return filepath.Join(b.Repository, "hack", "node-image", "pause") }

func hash(inputs ...string) string {
	h := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(h, "%d:%s", len(in), in)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// file is where the finished image is kept between runs.
func (b Builder) file(name string) string {
	return filepath.Join(b.Cache, "node-image", strings.TrimPrefix(name, "multinet.dev/node:")+".tar")
}

// Cached says whether the image is there already, in the daemon or in the cache folder.
func (b Builder) Cached(ctx context.Context, name string) (bool, error) {
	if found, err := b.InCache(name); found || err != nil {
		return found, err
	}
	return b.Docker.HasImage(ctx, name)
}

// InCache looks into the cache folder only.
func (b Builder) InCache(name string) (bool, error) {
	_, err := os.Stat(b.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Ensure makes sure that the daemon has the image.
func (b Builder) Ensure(ctx context.Context, name string) error {
	if found, err := b.Docker.HasImage(ctx, name); err != nil || found {
		return err
	}
	found, err := b.InCache(name)
	if err != nil {
		return err
	}
	if found {
		defer b.Log.Step("loading node image %s from the cache", name)()
		_, err := b.Docker.Run(ctx, "load", "--input", b.file(name))
		return err
	}
	if err := b.Programs.EnsureAll(ctx, b.Set); err != nil {
		return err
	}
	if err := b.assemble(ctx, name); err != nil {
		return fmt.Errorf("building node image %s: %w", name, err)
	}
	return b.save(ctx, name)
}

func (b Builder) save(ctx context.Context, name string) error {
	target := b.file(name)
	defer b.Log.Step("keeping node image in %s", filepath.Dir(target))()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("making cache folder: %w", err)
	}
	if _, err := b.Docker.Run(ctx, "save", "--output", target+".partial", name); err != nil {
		return fmt.Errorf("keeping node image: %w", err)
	}
	return os.Rename(target+".partial", target)
}

// kindFiles is where the kind module keeps the static files of its own base image.
func (b Builder) kindFiles(ctx context.Context) (string, error) {
	cmd := command.New("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind")
	cmd.Dir, cmd.Env = filepath.Join(b.Repository, "hack", "cluster"), []string{"GOWORK=off"}
	out, err := cmd.Run(ctx)
	if err != nil {
		return "", fmt.Errorf("looking for the kind module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(out), "images", "base", "files"), nil
}
