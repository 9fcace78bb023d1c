package plumb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

var (
	// ErrRDMAShared tells of a node on which every namespace sees all RDMA devices, so that none can be given to one pod. The
	// kernel changes that only while there is no other namespace: at boot.
	ErrRDMAShared = errors.New("the node shares RDMA devices among all network namespaces: " +
		"start it with `options ib_core netns_mode=0` in /etc/modprobe.d, or run `rdma system set netns exclusive` before any pod")
	// ErrNoRDMA tells that the VF's driver makes no RDMA device.
	ErrNoRDMA = errors.New("the VF has no RDMA device: its card has no RDMA, or the driver's RDMA module is not loaded")
	// ErrRDMAStays tells of a driver that the kernel does not move devices of: it has to take them away from programs first.
	ErrRDMAStays = errors.New("its driver cannot take an RDMA device away from programs, without which the kernel moves none: " +
		"software devices such as rxe cannot be had in a pod")
)

const rdmaExclusive = "exclusive"

// RDMADevices are those of a VF, such as "mlx5_3", as far as the node's own namespace sees them.
func (h VFs) RDMADevices(vf VF) ([]string, error) {
	names, err := h.Sys.List(pciDevices + vf.PCIAddress + "/infiniband")
	if err != nil {
		return nil, fmt.Errorf("%s: RDMA devices: %w", vf, err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		// sysfs keeps one that is in another namespace among the device's, but not in the class.
		target, err := h.Sys.Target("class/infiniband/" + name)
		return err != nil || target == ""
	}), nil
}

// MoveRDMA gives the VF's RDMA devices to the pod. It comes before the interface, whose addresses the device takes over as
// they come. One that is there already is left. The error wraps ErrNoRDMA, ErrRDMAShared or
// ErrRDMAStays, or is one of the kernel.
func (h VFs) MoveRDMA(vf VF, pod *kernel.Namespace) error {
	all, err := h.Sys.List(pciDevices + vf.PCIAddress + "/infiniband")
	if err == nil && len(all) == 0 {
		err = ErrNoRDMA
	}
	if err != nil {
		return fmt.Errorf("%s: %w", vf, err)
	}
	here, err := h.RDMADevices(vf)
	if err != nil || len(here) == 0 {
		return err
	}
	if err := h.checkpoint("rdma"); err != nil {
		return err
	}
	if err := moveRDMA(h.Node, pod, here); err != nil {
		return fmt.Errorf("%s: %w", vf, err)
	}
	return nil
}

// rdmaHome takes the RDMA devices back from the pod. Those of a namespace that ends come home by themselves.
func (h VFs) rdmaHome(vf VF, names string, pod *kernel.Namespace) error {
	here, err := h.RDMADevices(vf)
	if err != nil || pod == nil {
		return err
	}
	away := slices.DeleteFunc(strings.Split(names, ","), func(name string) bool { return name == "" || slices.Contains(here, name) })
	if len(away) == 0 {
		return nil
	}
	if err := h.checkpoint("rdma home"); err != nil {
		return err
	}
	return moveRDMA(pod, h.Node, away)
}

func moveRDMA(from, to *kernel.Namespace, devices []string) error {
	return from.Do(func() error {
		mode, err := netlink.RdmaSystemGetNetnsMode()
		if err != nil {
			return fmt.Errorf("ask how the node shares RDMA devices: %w", err)
		}
		if mode != rdmaExclusive {
			return ErrRDMAShared
		}
		for _, device := range devices {
			link, err := netlink.RdmaLinkByName(device)
			if err != nil {
				return fmt.Errorf("look up RDMA device %s: %w", device, err)
			}
			err = netlink.RdmaLinkSetNsFd(link, uint32(to.FD()))
			if errors.Is(err, unix.EOPNOTSUPP) {
				err = fmt.Errorf("%w: %w", ErrRDMAStays, err)
			}
			if err != nil {
				return fmt.Errorf("move RDMA device %s into %s: %w", device, to.Path(), err)
			}
		}
		return nil
	})
}
