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
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/hack/measure"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var (
	address4 = netip.MustParsePrefix("10.20.0.5/24")
	address6 = netip.MustParsePrefix("fd00:20::5/64")
)

// bench is a node with one uplink.
type bench struct {
	dir      string
	node     *kernel.Namespace
	uplink   int
	attacher *attach.Attacher
	// rounds give each interface another MAC; released is what ReleaseAddresses took.
	rounds   int
	released measure.Durations
}

func newBench(dir string) (*bench, error) {
	path := filepath.Join(dir, "node")
	node, err := kerneltest.CreateNamespace(path)
	if err != nil {
		return nil, err
	}
	if err := kerneltest.CreateVeth(node, "eth1", node, "fabric"); err != nil {
		return nil, err
	}
	link, err := node.Handle().LinkByName("eth1")
	if err != nil {
		return nil, err
	}
	return &bench{dir: dir, node: node, uplink: link.Attrs().Index, attacher: attach.New(attach.Options{NodeNamespace: path})}, nil
}

func (b *bench) close() error {
	return errors.Join(b.node.Close(), kerneltest.RemoveNamespace(filepath.Join(b.dir, "node")))
}

func (b *bench) mac() net.HardwareAddr {
	b.rounds++
	return net.HardwareAddr{2, 0, 0, byte(b.rounds >> 16), byte(b.rounds >> 8), byte(b.rounds)}
}

// inNewPod calls f with the path of a new namespace, and removes that.
func (b *bench) inNewPod(f func(path string) error) error {
	path := filepath.Join(b.dir, "pod")
	pod, err := kerneltest.CreateNamespace(path)
	if err != nil {
		return err
	}
	return errors.Join(pod.Close(), f(path), kerneltest.RemoveNamespace(path))
}

// ours measures attach.Attach, and ReleaseAddresses of what it made.
func (b *bench) ours() (took time.Duration, err error) {
	attachments := []plan.Attachment{{
		Network:   "storage",
		Interface: "net1",
		MAC:       plan.HardwareAddr(b.mac()),
		Addresses: []netip.Prefix{address4, address6},
		Device:    plan.Device{Uplink: "eth1"},
		Macvlan:   &plan.Macvlan{Mode: "bridge"},
	}}
	ctx := context.Background()
	err = b.inNewPod(func(path string) error {
		start := time.Now()
		_, err := b.attacher.Attach(ctx, path, attachments)
		took = time.Since(start)
		if err != nil {
			return err
		}
		start = time.Now()
		err = b.attacher.ReleaseAddresses(ctx, path, attachments)
		b.released = append(b.released, time.Since(start))
		return err
	})
	return took, err
}

// byHand measures the same interface made by the calls alone. The index of the uplink is known beforehand, no sysctl
// is written, nothing is looked at twice.
func (b *bench) byHand() (took time.Duration, err error) {
	mac := b.mac()
	err = b.inNewPod(func(path string) error {
		start := time.Now()
		err := b.calls(path, mac)
		took = time.Since(start)
		return err
	})
	return took, err
}

func (b *bench) calls(path string, mac net.HardwareAddr) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	handle, err := netlink.NewHandleAt(netns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = "net1", b.uplink, mac
	attrs.Namespace, attrs.Flags = netlink.NsFd(int(file.Fd())), net.FlagUp
	if err := b.node.Handle().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
		return fmt.Errorf("create link: %w", err)
	}
	link, err := handle.LinkByName("net1")
	if err != nil {
		return err
	}
	for _, address := range []netip.Prefix{address4, address6} {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}}
		if address.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := handle.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", address, err)
		}
	}
	return nil
}
