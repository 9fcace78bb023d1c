package vm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/apt"
	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// toolchain builds a module as Debian has built the kernel, with the same compiler; the headers of the kernel bring that.
var toolchain = []string{"make", "dash", "sed", "grep", "mawk", "findutils", "tar"}

//go:embed netdevsim.sh
var netdevsimScript string

// netdevsim returns the module, packed as Debian's are: a network card that takes what igb refuses, and which Debian's kernel lacks.
// The cache has it by the version of the kernel.
func (a Assets) netdevsim(ctx context.Context, version string) ([]byte, error) {
	sum := sha256.Sum256([]byte(fmt.Sprint(suite, toolchain, netdevsimScript)))
	file := filepath.Join(a.Cache, "vm", "netdevsim-"+version+"-"+hex.EncodeToString(sum[:])[:12]+".ko.xz")
	if module, err := os.ReadFile(file); !errors.Is(err, fs.ErrNotExist) {
		return module, err
	}
	defer a.Log.Step("building the module netdevsim for Linux %s", version)()
	workshop := file + ".partial"
	if err := os.RemoveAll(workshop); err != nil {
		return nil, err
	}
	if err := buildNetdevsim(ctx, workshop, version); err != nil {
		return nil, fmt.Errorf("building the module netdevsim: %w", err)
	}
	if err := os.Rename(filepath.Join(workshop, "tmp", "netdevsim.ko.xz"), file); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(workshop); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// buildNetdevsim builds in a root file system of its own, by the programs of the kernel's suite; a user namespace makes that possible
// without root.
func buildNetdevsim(ctx context.Context, workshop, version string) error {
	if err := makeWorkshop(ctx, workshop, version); err != nil {
		return err
	}
	const enter = `mount --rbind /dev "$1/dev" && exec chroot "$1" /bin/sh -eu /netdevsim.sh "$2"`
	build := command.New("unshare", "--mount", "--map-root-user", "sh", "-c", enter, "sh", workshop, version)
	build.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	_, err := build.Run(ctx)
	return err
}

func makeWorkshop(ctx context.Context, workshop, version string) error {
	for _, folder := range []string{"bin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(workshop, "usr", folder), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+folder, filepath.Join(workshop, folder)); err != nil {
			return err
		}
	}
	for _, folder := range []string{"dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(workshop, folder), 0o755); err != nil {
			return err
		}
	}
	packages := append([]string{"linux-headers-" + version, "linux-source-" + series(version)}, toolchain...)
	if err := apt.Unpack(ctx, suite, workshop, packages...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(workshop, "netdevsim.sh"), []byte(netdevsimScript), 0o644)
}

// series is the 6.12 of 6.12.48+deb13-amd64, by which Debian names a kernel's source.
func series(version string) string {
	number := strings.SplitN(version, ".", 3)
	return strings.Join(number[:min(len(number), 2)], ".")
}
