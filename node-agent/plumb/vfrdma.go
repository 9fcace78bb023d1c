package plumb

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// ErrRDMAShared tells of a node on which every namespace sees all RDMA devices, so that none can be given to one pod. The
// kernel changes that only while there is no other namespace: at boot.
var ErrRDMAShared = errors.New("the node shares RDMA devices among all network namespaces: " +
	"start it with `options ib_core netns_mode=0` in /etc/modprobe.d, or run `rdma system set netns exclusive` before any pod")

const rdmaExclusive = "exclusive"

// RDMADevices are those of a VF, such as "mlx5_3", as far as the node's own namespace sees them.
func (h VFs) RDMADevices(vf VF) ([]string, error) {
	names, err := h.Sys.List(pciDevices + vf.PCIAddress + "/infiniband")
	if err != nil {
		return nil, fmt.Errorf("%s: RDMA devices: %w", vf, err)
	}
	return names, nil
}

// MoveRDMA moves RDMA devices from one namespace to another. It is done before the interface moves, whose addresses
// the device takes over as it comes. The error is ErrRDMAShared, or one of the kernel.
func MoveRDMA(from, to *kernel.Namespace, devices []string) error {
	if len(devices) == 0 {
		return nil
	}
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
			if err := netlink.RdmaLinkSetNsFd(link, uint32(to.FD())); err != nil {
				return fmt.Errorf("move RDMA device %s into %s: %w", device, to.Path(), err)
			}
		}
		return nil
	})
}
