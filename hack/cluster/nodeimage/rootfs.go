package nodeimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/apt"
	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// suite is not the newest Debian on purpose: systemd 257 of its successor refuses cgroup v1 hosts.
const suite = "bookworm"

// rootfs is one root file system made from Debian packages.
type rootfs struct {
	name     string
	variant  string // of mmdebstrap
	packages []string
	hooks    []string
}

var nodeRootfs = rootfs{
	name:    "node",
	variant: "minbase",
	packages: []string{
		"ca-certificates", "conntrack", "curl", "dbus", "e2fsprogs", "ethtool", "iproute2", "iptables", "iputils-ping",
		"jq", "kmod", "libseccomp2", "mount", "nftables", "procps", "runc", "socat", "systemd", "tcpdump", "util-linux",
	},
}

// testboxRootfs is only unpacked, not configured: a shell and network tools without a package manager. The
// shell is dash, since busybox's own runs its smaller ip and ping whatever PATH says.
var testboxRootfs = rootfs{
	name:    "testbox",
	variant: "extract",
	packages: []string{
		"busybox-static", "conntrack", "dash", "ethtool", "iperf3", "iproute2", "iputils-arping", "iputils-ping",
		"nftables", "socat", "tcpdump",
	},
	hooks: []string{
		`mkdir -p "$1/tmp" "$1/proc" "$1/sys" && ln -sf dash "$1/bin/sh"`,
		// Links never replace a file, so the packages' ip and ping stay.
		`chroot "$1" /bin/busybox --install -s && rm "$1/usr/sbin/arping"`, // that one precedes iputils' in PATH
	},
}

// ensure makes the root file system's archive, unless the cache has it, and returns its path.
func (b Builder) ensure(ctx context.Context, r rootfs) (string, error) {
	key := hash(r.arguments("", "")...)
	target := filepath.Join(b.Cache, "rootfs", r.name+"-"+suite+"-"+key+".tar")
	if _, err := os.Stat(target); err == nil {
		return target, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	defer b.Log.Step("making the %s root file system from Debian packages", r.name)()
	if err := b.installMmdebstrap(ctx); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	mirror, err := apt.Mirror(ctx, suite)
	if err != nil {
		return "", err
	}
	partial := strings.TrimSuffix(target, ".tar") + ".partial.tar"
	cmd := command.New("mmdebstrap", r.arguments(partial, mirror)...)
	// Dates of the build would make two equal builds differ.
	cmd.Env = []string{"SOURCE_DATE_EPOCH=0"}
	if _, err := cmd.Run(ctx); err != nil {
		return "", fmt.Errorf("making root file system %s: %w", r.name, err)
	}
	return target, os.Rename(partial, target)
}

func (r rootfs) arguments(target, mirror string) []string {
	args := []string{"--variant=" + r.variant, "--include=" + strings.Join(r.packages, ",")}
	for _, unwanted := range []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"} {
		args = append(args, "--dpkgopt=path-exclude="+unwanted)
	}
	for _, hook := range r.hooks {
		// The last kind of hook that also runs in the variant which does not configure packages.
		args = append(args, "--extract-hook="+hook)
	}
	args = append(args, suite, target)
	if mirror != "" {
		args = append(args, mirror)
	}
	return args
}

func (b Builder) installMmdebstrap(ctx context.Context) error {
	if _, err := exec.LookPath("mmdebstrap"); err == nil {
		return nil
	}
	defer b.Log.Step("installing mmdebstrap with apt-get")()
	return apt.Install(ctx, "mmdebstrap")
}
