package plumb

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

var linkStates = map[uint32]string{
	netlink.VF_LINK_STATE_AUTO:    "auto",
	netlink.VF_LINK_STATE_ENABLE:  "enable",
	netlink.VF_LINK_STATE_DISABLE: "disable",
}

const (
	tagged     = "802.1q"
	doubleTags = "802.1ad"
)

// State reads a VF through its PF, its driver from sysfs, and its interface where it is: on the node, or in the pod's
// namespace, which may be nil.
func (h VFs) State(vf VF, pod *kernel.Namespace) (plan.VFState, error) {
	seen, err := h.lookAtAll(vf, pod)
	return seen.state, err
}

// view is a state with the links that it was read from. Each look at a link waits for whoever changes one just now.
type view struct {
	state plan.VFState
	pf    *netlink.LinkAttrs
	// link is nil where the VF has no interface that could be found.
	link  *netlink.LinkAttrs
	inPod bool
}

// lookAtAll is look with what sysfs tells.
func (h VFs) lookAtAll(vf VF, pod *kernel.Namespace) (view, error) {
	seen, err := h.look(vf, pod)
	if err == nil {
		err = h.addDriver(&seen.state, vf)
	}
	return seen, err
}

// look sees what the PF and the VF's interface tell.
func (h VFs) look(vf VF, pod *kernel.Namespace) (view, error) {
	info, pf, err := h.info(vf)
	if err != nil {
		return view{}, err
	}
	link, inPod, err := h.locate(vf, pod)
	if err != nil {
		return view{}, fmt.Errorf("%s: look up its interface: %w", vf, err)
	}
	state := told(info)
	if link != nil {
		addInterface(&state, link)
	}
	return view{state, pf, link, inPod}, nil
}

func (h VFs) addDriver(state *plan.VFState, vf VF) (err error) {
	if state.Boot, err = kernel.BootID(); err != nil {
		return err
	}
	if state.Driver, err = h.Driver(vf.PCIAddress); err != nil {
		return fmt.Errorf("%s: read its driver: %w", vf, err)
	}
	if state.DriverOverride, err = h.override(vf.PCIAddress); err != nil {
		return fmt.Errorf("%s: read its driver_override: %w", vf, err)
	}
	rdma, err := h.RDMADevices(vf)
	if err != nil {
		return err
	}
	state.RDMA = strings.Join(rdma, ",")
	return nil
}

// told is what a PF says about a VF.
func told(info netlink.VfInfo) plan.VFState {
	return plan.VFState{
		AdminMAC:   info.Mac.String(),
		VLAN:       info.Vlan,
		VLANQoS:    info.Qos,
		VLANProto:  vlanProto(info.VlanProto),
		SpoofCheck: info.Spoofchk,
		// A driver that does not tell says 2^32-1.
		Trust:     info.Trust == 1,
		LinkState: linkStates[info.LinkState],
		MinTxRate: int(info.MinTxRate),
		MaxTxRate: int(info.MaxTxRate),
	}
}

func addInterface(state *plan.VFState, attrs *netlink.LinkAttrs) {
	state.Interface = attrs.Name
	state.MAC = attrs.HardwareAddr.String()
	state.MTU = attrs.MTU
	state.TxQueueLength = attrs.TxQLen
	state.Alias = attrs.Alias
	state.Promiscuous = attrs.RawFlags&unix.IFF_PROMISC != 0
	state.AllMulticast = attrs.RawFlags&unix.IFF_ALLMULTI != 0
	state.XDP = attrs.Xdp != nil && attrs.Xdp.Attached
}

// info is what the PF tells of its VF, and the PF.
func (h VFs) info(vf VF) (netlink.VfInfo, *netlink.LinkAttrs, error) {
	pf, err := h.Node.Handle().LinkByName(vf.PF)
	if err != nil {
		return netlink.VfInfo{}, nil, fmt.Errorf("%s: look up the PF: %w", vf, err)
	}
	for _, info := range pf.Attrs().Vfs {
		if info.ID == vf.Index {
			return info, pf.Attrs(), nil
		}
	}
	return netlink.VfInfo{}, nil, fmt.Errorf("%s: %w", vf, ErrNoVF)
}

// locate finds the VF's interface in the pod or on the node; nil where it is in neither.
func (h VFs) locate(vf VF, pod *kernel.Namespace) (attrs *netlink.LinkAttrs, inPod bool, err error) {
	if attrs, err = h.onNode(vf.PCIAddress); err != nil || attrs != nil || pod == nil {
		return attrs, false, err
	}
	attrs, err = interfaceIn(pod, vf.PCIAddress)
	return attrs, attrs != nil, err
}

// override is the driver_override, for which the kernel says "(null)" where there is none.
func (h VFs) override(pciAddress string) (string, error) {
	text, err := h.Sys.Read(pciDevices + pciAddress + "/driver_override")
	if text == "(null)" {
		text = ""
	}
	return text, err
}

// vlanProto translates what the library read of a number in network byte order as one of this machine.
func vlanProto(raw int) string {
	switch raw {
	case swapped(unix.ETH_P_8021AD), unix.ETH_P_8021AD:
		return doubleTags
	default:
		return tagged
	}
}

func swapped(value int) int { return value>>8&0xff | value&0xff<<8 }

func isUp(attrs *netlink.LinkAttrs) bool { return attrs.Flags&net.FlagUp != 0 }
