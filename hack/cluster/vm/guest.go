package vm

import (
	"fmt"
	"path/filepath"
)

// Guest is what a virtual machine has.
type Guest struct {
	PFs   int  // igb network cards with 7 virtual functions each, all on one wire
	NUMA  bool // two nodes; the network cards are on either by turns
	IOMMU bool // for VFIO

	// Disk is a file system at /dev/vda, whose changes end with the guest. With it comes the way out of a node: a network card
	// on which the machine's loopback is 10.0.2.2, and more memory.
	Disk string
}

// memoryMiB is enough for a test binary, twice in memory, or for a node with a few pods.
func (g Guest) memoryMiB() int {
	if g.Disk != "" {
		return 2048
	}
	return 1024
}

// cheapCPU lacks what makes each access to memory or each copy dearer without KVM: a fifth level of page tables, checks of the
// kernel's access to programs' memory, and copies byte by byte. A guest that starts processes needs a sixth less of the host.
const cheapCPU = "max,-la57,-smap,-smep,-pku,-umip,-erms,-fsrm"

// arguments are QEMU's. The shared folders are the repository, read only, and the control folder.
func (g Guest) arguments(a Assets, repository, control string) []string {
	// On a busy machine the kernel's look whether timers tick comes too early for an emulated one, and it panics. Debian's clears
	// each page that it gives out; that is dear here.
	kernelLine := "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check init_on_alloc=0"
	if g.IOMMU {
		kernelLine += " intel_iommu=on iommu=pt"
	}
	share := filepath.Join(a.tree(), "usr", "share")
	args := []string{
		"-L", filepath.Join(share, "qemu"), "-L", filepath.Join(share, "seabios"),
		// KVM is left alone: nested it is often there without working.
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", cheapCPU, "-smp", "2", "-m", fmt.Sprint(g.memoryMiB()),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", a.kernel(), "-initrd", a.initrd(), "-append", kernelLine,
		"-serial", "file:" + filepath.Join(control, "console"),
	}
	args = append(args, shared("repository", repository, ",readonly=on")...)
	args = append(args, shared("control", control, "")...)
	if g.NUMA {
		args = append(args, g.numa()...)
	}
	// After the NUMA nodes, whose buses they are on.
	for i := range g.PFs {
		args = append(args, g.pf(i)...)
	}
	if g.Disk != "" {
		args = append(args, "-drive", "file="+g.Disk+",format=raw,if=virtio,snapshot=on",
			"-netdev", "user,id=out", "-device", "virtio-net-pci,netdev=out,romfile=")
	}
	if g.IOMMU {
		args = append(args, "-device", "intel-iommu,intremap=off")
	}
	return args
}

func shared(tag, folder, options string) []string {
	return []string{
		"-fsdev", fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap%s", tag, folder, options),
		"-device", fmt.Sprintf("virtio-9p-pci,fsdev=%s,mount_tag=%s", tag, tag),
	}
}

func (g Guest) numa() (args []string) {
	for node := range 2 {
		args = append(args,
			"-object", fmt.Sprintf("memory-backend-ram,id=memory%d,size=%dM", node, g.memoryMiB()/2),
			"-numa", fmt.Sprintf("node,nodeid=%d,cpus=%d,memdev=memory%d", node, node, node),
			"-device", fmt.Sprintf("pxb-pcie,id=numa%d,bus=pcie.0,bus_nr=%d,numa_node=%d", node, 64*(node+1), node))
	}
	return args
}

func (g Guest) pf(i int) []string {
	bus := "pcie.0"
	if g.NUMA {
		bus = fmt.Sprintf("numa%d", i%2)
	}
	return []string{
		"-device", fmt.Sprintf("pcie-root-port,id=port%d,bus=%s,chassis=%d,slot=%d", i, bus, i+1, i+1),
		"-netdev", fmt.Sprintf("hubport,id=wire%d,hubid=0", i),
		"-device", fmt.Sprintf("igb,bus=port%d,netdev=wire%d,mac=52:54:00:00:00:%02x", i, i, i+1),
	}
}
