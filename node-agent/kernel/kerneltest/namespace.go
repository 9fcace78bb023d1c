// Package kerneltest makes network namespaces for tests and benchmarks that run against the real kernel.
package kerneltest

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// CreateNamespace pins a new network namespace at path, with lo up, as a container runtime does.
func CreateNamespace(path string) (*kernel.Namespace, error) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	created := make(chan error, 1)
	// The thread is in the new namespace, and ends.
	go kernel.OffMainThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		created <- err
	})
	if err := <-created; err != nil {
		return nil, fmt.Errorf("create network namespace: %w", err)
	}
	ns, err := kernel.OpenNamespace(path)
	if err != nil {
		return nil, err
	}
	lo, err := ns.Handle().LinkByName("lo")
	if err == nil {
		err = ns.Handle().LinkSetUp(lo)
	}
	return ns, err
}

// RemoveNamespace unpins a namespace; the kernel removes it when nothing else holds it.
func RemoveNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount network namespace: %w", err)
	}
	return os.Remove(path)
}

// CreateVeth connects two namespaces by a cable: a veth pair, both ends up.
func CreateVeth(a *kernel.Namespace, nameA string, b *kernel.Namespace, nameB string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.FD())}
	if err := a.Handle().LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth %s: %w", nameA, err)
	}
	if err := setUp(a, nameA); err != nil {
		return err
	}
	return setUp(b, nameB)
}

func setUp(ns *kernel.Namespace, name string) error {
	link, err := ns.Handle().LinkByName(name)
	if err != nil {
		return err
	}
	return ns.Handle().LinkSetUp(link)
}

func carries(ns *kernel.Namespace, name string) bool {
	link, err := ns.Handle().LinkByName(name)
	return err == nil && link.Attrs().OperState == netlink.OperUp
}

func addAddress(ns *kernel.Namespace, iface, address string) error {
	link, err := ns.Handle().LinkByName(iface)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	return ns.Handle().AddrAdd(link, addr)
}
