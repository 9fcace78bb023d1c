// Package vm runs a command as root in a throw-away virtual machine with a Debian kernel and its own network devices,
// for what the machine's kernel lacks: VLANs, SR-IOV, VFIO. It needs neither root nor KVM.
package vm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/apt"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// suite is the oldest Debian whose QEMU has the igb, a network card with virtual functions.
const suite = "trixie"

var packages = []string{"qemu-system-x86", "ipxe-qemu", "busybox-static", "linux-image-amd64"}

// modules are loaded when the guest starts; what they depend on comes with them, but for crc32c_generic and
// crc32_generic, which nf_tables and rdma_rxe need and do not name.
var modules = []string{"9pnet_virtio", "9p", "8021q", "macvlan", "vxlan", "ifb", "sch_htb", "sch_tbf", "sch_fq", "sch_ingress", "cls_u32", "cls_flower", "act_mirred", "crc32c_generic", "nf_tables", "veth",
	"igb", "igbvf", "vfio-pci", "vfio_iommu_type1", "crc32_generic", "rdma_rxe", "netdevsim"}

// DiskModules are there for a guest that goes on from a disk; its command loads them.
var DiskModules = []string{"virtio_blk", "ext4", "virtio_net", "overlay", "nft_chain_nat", "nft_nat", "nft_masq"}

// moduleOptions give each namespace its own RDMA devices, which the kernel changes only while there is no other namespace.
const moduleOptions = "options ib_core netns_mode=0\n"

//go:embed init.sh
var initScript string

// Assets are QEMU, a kernel and an initial RAM disk in the cache.
type Assets struct {
	Cache string
	Log   *progress.Log
}

// folder has the hash of all that goes into it in its name. Debian's versions are those of the day of the build.
func (a Assets) folder() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{suite, fmt.Sprint(packages, modules, DiskModules), initScript, netdevsimScript, moduleOptions}, "\n")))
	return filepath.Join(a.Cache, "vm", suite+"-"+hex.EncodeToString(sum[:])[:12])
}

func (a Assets) kernel() string { return filepath.Join(a.folder(), "vmlinuz") }
func (a Assets) initrd() string { return filepath.Join(a.folder(), "initrd") }
func (a Assets) tree() string   { return filepath.Join(a.folder(), "tree") }

// Ready tells whether there is nothing to build.
func (a Assets) Ready() bool {
	_, err := os.Stat(a.folder())
	return err == nil
}

// Build makes the assets unless they are there, and puts them in place only when they are complete.
func (a Assets) Build(ctx context.Context) error {
	if a.Ready() {
		return nil
	}
	defer a.Log.Step("making the virtual machine from Debian packages")()
	partial := a.folder() + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("removing what an interrupted build left: %w", err)
	}
	tree := filepath.Join(partial, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	if err := apt.Unpack(ctx, suite, tree, packages...); err != nil {
		return err
	}
	if err := a.takeKernel(ctx, tree, partial); err != nil {
		return err
	}
	return os.Rename(partial, a.folder())
}

// takeKernel makes the kernel and the initial RAM disk, and removes the modules, which are the larger part of a tree.
func (a Assets) takeKernel(ctx context.Context, tree, into string) error {
	all := filepath.Join(tree, "usr", "lib", "modules")
	versions, err := filepath.Glob(filepath.Join(all, "*"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("want one kernel below %s, have %q: %w", all, versions, err)
	}
	version := filepath.Base(versions[0])
	if err := os.Rename(filepath.Join(tree, "boot", "vmlinuz-"+version), filepath.Join(into, "vmlinuz")); err != nil {
		return err
	}
	netdevsim, err := a.netdevsim(ctx, version)
	if err != nil {
		return err
	}
	updates := filepath.Join(versions[0], "updates")
	if err := errors.Join(os.Mkdir(updates, 0o755), os.WriteFile(filepath.Join(updates, "netdevsim.ko.xz"), netdevsim, 0o644)); err != nil {
		return err
	}
	r := ramdisk{tree: tree, root: filepath.Join(into, "root"), version: version}
	if err := r.make(ctx, filepath.Join(into, "initrd")); err != nil {
		return fmt.Errorf("making the initial RAM disk: %w", err)
	}
	for _, surplus := range []string{all, r.root} {
		if err := os.RemoveAll(surplus); err != nil {
			return err
		}
	}
	return nil
}
