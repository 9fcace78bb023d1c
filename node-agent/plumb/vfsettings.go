package plumb

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// vfAttribute is one thing that a PF can be told of its VF, with what is wanted and whether it is so now.
type vfAttribute struct {
	name    string
	wanted  any
	differs bool
	set     func(handle *netlink.Handle, pf netlink.Link, vf int) error
}

// vfAttributes returns the attributes in the order of setting. Each is set by a request of its own, so that a refusal
// belongs to one of them.
func vfAttributes(now, want plan.VFState) []vfAttribute {
	protos := map[string]int{tagged: unix.ETH_P_8021Q, doubleTags: unix.ETH_P_8021AD}
	// A priority without a VLAN is refused by some drivers: it goes with the VLAN, and is set after it.
	qosFirst := now.VLANQoS
	if want.VLAN == 0 {
		qosFirst = want.VLANQoS
	}
	setVLAN := func(qos int) func(*netlink.Handle, netlink.Link, int) error {
		return func(h *netlink.Handle, pf netlink.Link, vf int) error {
			if now.VLANProto == tagged && want.VLANProto == tagged {
				return h.LinkSetVfVlanQos(pf, vf, want.VLAN, qos)
			}
			return h.LinkSetVfVlanQosProto(pf, vf, want.VLAN, qos, protos[want.VLANProto])
		}
	}
	return []vfAttribute{
		{"vlanProto", want.VLANProto, now.VLANProto != want.VLANProto, setVLAN(qosFirst)},
		{"vlan", want.VLAN, now.VLAN != want.VLAN, setVLAN(qosFirst)},
		{"vlanQoS", want.VLANQoS, now.VLANQoS != want.VLANQoS, setVLAN(want.VLANQoS)},
		{"spoofCheck", want.SpoofCheck, now.SpoofCheck != want.SpoofCheck, func(h *netlink.Handle, pf netlink.Link, vf int) error {
			return h.LinkSetVfSpoofchk(pf, vf, want.SpoofCheck)
		}},
		{"trust", want.Trust, now.Trust != want.Trust, func(h *netlink.Handle, pf netlink.Link, vf int) error {
			return h.LinkSetVfTrust(pf, vf, want.Trust)
		}},
		{"linkState", want.LinkState, now.LinkState != want.LinkState, func(h *netlink.Handle, pf netlink.Link, vf int) error {
			return setLinkState(h, pf, vf, want.LinkState)
		}},
		// The kernel refuses a minimum above the maximum, and sets both at once.
		{"maxTxRate", want.MaxTxRate, now.MaxTxRate != want.MaxTxRate, func(h *netlink.Handle, pf netlink.Link, vf int) error {
			return h.LinkSetVfRate(pf, vf, atMost(now.MinTxRate, want.MaxTxRate), want.MaxTxRate)
		}},
		{"minTxRate", want.MinTxRate, now.MinTxRate != want.MinTxRate, func(h *netlink.Handle, pf netlink.Link, vf int) error {
			return h.LinkSetVfRate(pf, vf, want.MinTxRate, want.MaxTxRate)
		}},
	}
}

// atMost bounds a rate by a limit, of which 0 is none.
func atMost(rate, limit int) int {
	if limit == 0 {
		return rate
	}
	return min(rate, limit)
}

func setLinkState(h *netlink.Handle, pf netlink.Link, vf int, want string) error {
	for state, name := range linkStates {
		if name == want {
			return h.LinkSetVfState(pf, vf, state)
		}
	}
	return fmt.Errorf("%q is not a link state: %w", want, unix.EINVAL)
}

// apply sets what differs. All attributes are tried, and the error joins a *VFError for each that was refused.
func (h VFs) apply(vf VF, pf *netlink.LinkAttrs, now, want plan.VFState) error {
	var failed []error
	err := h.applyEach(vf, pf, now, want, func(_ string, err error) { failed = append(failed, err) })
	return errors.Join(append(failed, err)...)
}

// applyEach is apply that tells of each attribute that was refused, with a *VFError.
func (h VFs) applyEach(vf VF, pf *netlink.LinkAttrs, now, want plan.VFState, refusal func(attribute string, err error)) error {
	for _, a := range vfAttributes(now, want) {
		if !a.differs {
			continue
		}
		if err := h.checkpoint(a.name); err != nil {
			return err
		}
		if err := a.set(h.Node.Handle(), byIndex(pf.Index), vf.Index); err != nil {
			refusal(a.name, refused(vf, a.name, a.wanted, isUp(pf), err))
		}
	}
	return nil
}

// wanted is what a VF has now, with what a Network asks for.
func wanted(now plan.VFState, s plan.VFSettings) plan.VFState {
	take(&now.VLAN, s.VLAN)
	take(&now.VLANQoS, s.VLANQoS)
	take(&now.SpoofCheck, s.SpoofCheck)
	take(&now.Trust, s.Trust)
	take(&now.MinTxRate, s.MinTxRate)
	take(&now.MaxTxRate, s.MaxTxRate)
	if s.VLANProto != "" {
		now.VLANProto = s.VLANProto
	}
	if s.LinkState != "" {
		now.LinkState = s.LinkState
	}
	return now
}

func take[T any](into, from *T) {
	if from != nil {
		*into = *from
	}
}
