package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/hack/measure"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var addresses = []netip.Prefix{netip.MustParsePrefix("10.20.0.5/24"), netip.MustParsePrefix("fd00:20::5/64")}

const vlan = 100

// bench is a node with one VF.
type bench struct {
	dir      string
	node     *kernel.Namespace
	attacher *attach.Attacher
	pf       netlink.Link
	address  string
	before   plan.VFState
	rounds   int
}

func newBench(dir, pf string) (*bench, error) {
	b := &bench{dir: dir, attacher: attach.New(attach.Options{})}
	device := "/sys/class/net/" + pf + "/device/"
	link, err := netlink.LinkByName(pf)
	if err != nil {
		return nil, err
	}
	b.pf = link
	if err := errors.Join(netlink.LinkSetUp(link), awaitCarrier(pf), os.WriteFile(device+"sriov_numvfs", []byte("1"), 0o600)); err != nil {
		return nil, fmt.Errorf("prepare the card: %w", err)
	}
	target, err := os.Readlink(device + "virtfn0")
	if err != nil {
		return nil, err
	}
	b.address = filepath.Base(target)
	if b.before, err = b.attacher.VFState(b.plan(0)); err != nil {
		return nil, err
	}
	b.node, err = kernel.OpenNode()
	return b, err
}

func awaitCarrier(pf string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if carrier, err := os.ReadFile("/sys/class/net/" + pf + "/carrier"); err == nil && carrier[0] == '1' {
			return nil
		}
	}
	return fmt.Errorf("%s has no carrier", pf)
}

func mac(i int) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
}

func (b *bench) plan(i int) plan.Attachment {
	id := vlan
	return plan.Attachment{
		Network: "fast", Interface: "net1", MAC: plan.HardwareAddr(mac(i)), Addresses: addresses,
		VF: &plan.VF{PCIAddress: b.address, Settings: plan.VFSettings{VLAN: &id}}, Before: &b.before,
	}
}

// side attaches in a new namespace, and makes the VF clean again, which does not count. Each round is of another MAC.
func (b *bench) side(attach func(path string, i int) error) measure.Side {
	return func() (time.Duration, error) {
		b.rounds++
		return b.measure(attach, b.rounds)
	}
}

func (b *bench) measure(side func(path string, i int) error, i int) (time.Duration, error) {
	path := filepath.Join(b.dir, "pod")
	pod, err := kerneltest.CreateNamespace(path)
	if err != nil {
		return 0, err
	}
	defer pod.Close()
	begin := time.Now()
	err = side(path, i)
	took := time.Since(begin)
	return took, errors.Join(err,
		b.attacher.GiveBack(context.Background(), path, []plan.Attachment{b.plan(i)}), kerneltest.RemoveNamespace(path))
}

func (b *bench) ours(path string, i int) error {
	if _, err := b.attacher.VFState(b.plan(i)); err != nil {
		return err
	}
	_, err := b.attacher.Attach(context.Background(), path, []plan.Attachment{b.plan(i)})
	return err
}

// byHand reads nothing back and looks nothing up but what the next call needs.
func (b *bench) byHand(path string, i int) error {
	const driver = "/sys/bus/pci/drivers/igbvf/"
	for _, step := range []func() error{
		func() error { return netlink.LinkSetVfHardwareAddr(b.pf, 0, mac(i)) },
		func() error { return netlink.LinkSetVfVlan(b.pf, 0, vlan) },
		func() error { return os.WriteFile(driver+"unbind", []byte(b.address), 0o600) },
		func() error { return os.WriteFile(driver+"bind", []byte(b.address), 0o600) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	names, err := os.ReadDir("/sys/bus/pci/devices/" + b.address + "/net")
	if err != nil || len(names) != 1 {
		return fmt.Errorf("interfaces of the VF: %v, %w", names, err)
	}
	link, err := netlink.LinkByName(names[0].Name())
	if err != nil {
		return err
	}
	return kernel.Inside(path, func(pod *kernel.Namespace) error {
		// The handle is in the node's namespace, the thread in the pod's.
		if err := b.node.Handle().LinkSetNsFd(byIndex(link), pod.FD()); err != nil {
			return err
		}
		return inPod(pod, link)
	})
}

func byIndex(link netlink.Link) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: link.Attrs().Index}}
}

func inPod(pod *kernel.Namespace, link netlink.Link) error {
	handle, target := pod.Handle(), byIndex(link)
	if err := errors.Join(handle.LinkSetName(target, "net1"), handle.LinkSetUp(target)); err != nil {
		return err
	}
	for _, address := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}, Flags: unix.IFA_F_NODAD}
		if err := handle.AddrAdd(target, addr); err != nil {
			return err
		}
	}
	return nil
}
