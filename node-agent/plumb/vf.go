package plumb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// ErrNoVF tells that the PCI address is no VF's, or no longer.
var ErrNoVF = errors.New("the node has no such VF: sriov_numvfs of its PF was changed, or the card is gone")

// VFs configures and moves the virtual functions of a node. It keeps nothing: what is true stands in the kernel.
type VFs struct {
	// Node is the namespace that has the PFs. The kernel makes VFs' interfaces in the first namespace of the machine.
	Node *kernel.Namespace
	// Sys must be writable for what binds a driver and for the number of VFs, and show the interfaces of Node.
	Sys kernel.Sys
	// Settle bounds how long a driver may take to let go of a VF or to make its interface; 10 s if 0.
	Settle time.Duration

	// before is called ahead of each change; tests fail there.
	before func(change string) error
}

// VF is a virtual function as the kernel knows it now.
type VF struct {
	PCIAddress string
	// PF is the interface of the physical function, Index the VF's number on it.
	PF    string
	Index int
	// PFDriver decides what can be set.
	PFDriver string
}

func (v VF) String() string { return fmt.Sprintf("VF %d of PF %s (%s)", v.Index, v.PF, v.PCIAddress) }

const pciDevices = "bus/pci/devices/"

// Find looks a VF up by its PCI address. The error is ErrNoVF or one of the kernel.
func (h VFs) Find(pciAddress string) (VF, error) {
	vf := VF{PCIAddress: pciAddress}
	parent, err := h.Sys.Target(pciDevices + pciAddress + "/physfn")
	if err == nil && parent == "" {
		err = ErrNoVF
	}
	if err != nil {
		return VF{}, fmt.Errorf("VF %s: %w", pciAddress, err)
	}
	if vf.PFDriver, err = h.Sys.Target(pciDevices + parent + "/driver"); err != nil {
		return VF{}, fmt.Errorf("driver of the PF of VF %s: %w", pciAddress, err)
	}
	if vf.Index, err = h.indexOf(parent, pciAddress); err != nil {
		return VF{}, err
	}
	vf.PF, err = h.pfInterface(parent)
	return vf, err
}

func (h VFs) indexOf(parent, pciAddress string) (int, error) {
	count, err := h.number(pciDevices + parent + "/sriov_numvfs")
	if err != nil {
		return 0, fmt.Errorf("number of VFs of %s: %w", parent, err)
	}
	for index := range count {
		if target, err := h.Sys.Target(pciDevices + parent + "/virtfn" + strconv.Itoa(index)); err == nil && target == pciAddress {
			return index, nil
		}
	}
	return 0, fmt.Errorf("VF %s on PF %s: %w", pciAddress, parent, ErrNoVF)
}

// pfInterface is the interface of a PF. A card in switchdev mode shows those of its VFs' representors beside it, which
// have other port names.
func (h VFs) pfInterface(parent string) (string, error) {
	folder := pciDevices + parent + "/net"
	names, err := h.Sys.List(folder)
	if err != nil {
		return "", fmt.Errorf("interfaces of PF %s: %w", parent, err)
	}
	if len(names) > 1 {
		names = slices.DeleteFunc(names, func(name string) bool {
			port, _ := h.Sys.Read(folder + "/" + name + "/phys_port_name")
			return strings.Contains(port, "vf") || strings.Contains(port, "sf")
		})
	}
	if len(names) == 0 {
		return "", fmt.Errorf("PF %s has no interface on the node: its driver is not bound, or it was moved into a namespace", parent)
	}
	return names[0], nil
}

// Driver is the one that the VF is bound to, "" for none.
func (h VFs) Driver(pciAddress string) (string, error) {
	return h.Sys.Target(pciDevices + pciAddress + "/driver")
}

// interfaceIn finds the interface of a PCI function in a namespace, whatever its name is there. Linux tells the function
// with the interface since 5.14.
func interfaceIn(ns *kernel.Namespace, pciAddress string) (*netlink.LinkAttrs, error) {
	links, err := kernel.Dump(ns.Handle().LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		if attrs := link.Attrs(); attrs.ParentDev == pciAddress && attrs.ParentDevBus == "pci" {
			return attrs, nil
		}
	}
	return nil, nil
}

// onNode is interfaceIn for the node, where sysfs knows the name; nil where the VF has no interface there.
func (h VFs) onNode(pciAddress string) (*netlink.LinkAttrs, error) {
	names, err := h.Sys.List(pciDevices + pciAddress + "/net")
	if err != nil || len(names) == 0 {
		return nil, err
	}
	link, err := h.Node.Handle().LinkByName(names[0])
	if err == nil && link.Attrs().ParentDev == pciAddress {
		return link.Attrs(), nil
	}
	return interfaceIn(h.Node, pciAddress) // It was renamed just now.
}

// HasVF tells whether the VF's interface is in a namespace.
func HasVF(ns *kernel.Namespace, vf VF) (bool, error) {
	attrs, err := interfaceIn(ns, vf.PCIAddress)
	return attrs != nil, err
}

// awaitInterface waits until the driver has made the VF's interface. Some drivers make it after the bind has returned, as
// their PF answers.
func (h VFs) awaitInterface(ctx context.Context, pciAddress string) (*netlink.LinkAttrs, error) {
	ctx, cancel := h.settle(ctx)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		attrs, err := h.onNode(pciAddress)
		if err != nil || attrs != nil {
			return attrs, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the driver has made no interface: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (h VFs) settle(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := h.Settle
	if limit == 0 {
		limit = 10 * time.Second
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
}

func (h VFs) checkpoint(change string) error {
	if h.before == nil {
		return nil
	}
	return h.before(change)
}

// missing tells whether an attribute of sysfs does not exist.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
