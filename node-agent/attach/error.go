package attach

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Step names what was being done; it is part of the text that users see.
type Step string

// Steps in their order.
const (
	StepNamespace Step = "open the pod's network namespace"
	StepUplink    Step = "find uplink"
	StepVF        Step = "configure VF"
	StepNIC       Step = "take NIC"
	StepLink      Step = "create interface"
	StepUp        Step = "bring interface up"
	StepAddresses Step = "add address"
	StepRoutes    Step = "add route"
	StepDone      Step = "finish in time"
	StepGuard     Step = "limit interface"
	StepCheck     Step = "check"
	StepAnnounce  Step = "announce addresses"
	StepProbe     Step = "probe addresses"
	StepRelease   Step = "remove addresses"
	StepRemove    Step = "remove interface"
	StepRestore   Step = "restore device"
	StepPlugins   Step = "run CNI plugins"
	StepDevice    Step = "ask the kubelet for the pod's device"
)

// Error tells which attachment failed, where and why. Err is the cause with what to do about it.
type Error struct {
	Network   string
	Interface string
	Step      Step
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("network %q interface %s: %s: %v", e.Network, e.Interface, e.Step, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func newError(p plan.Attachment, s Step, err error) *Error {
	return &Error{Network: p.Network, Interface: p.Interface, Step: s, Err: err}
}

// itemError names one of several addresses or routes.
type itemError struct {
	item string
	err  error
}

func (e *itemError) Error() string { return e.item + ": " + e.err.Error() }
func (e *itemError) Unwrap() error { return e.err }

// explain adds to an error of the kernel what is known about its cause. It reads from the kernel only now, when
// something failed, so that a good attach pays nothing for it.
func (r *run) explain(p plan.Attachment, s Step, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kernel.ErrNamespaceGone):
		return err
	case errors.Is(err, plumb.ErrUplinkMissing):
		return fmt.Errorf("uplink %s: %w: correct the Network's spec.macvlan.uplink or the node", p.Device.Uplink, err)
	case s == StepUp && errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: mount the host's /proc into the node agent's container and tell it where", err)
	case s == StepUp && errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("MAC %s is in use on uplink %s of this node, by another pod or a former sandbox of this one that is not gone yet: %w",
			p.MAC, carrier(p), err)
	case errors.Is(err, plumb.ErrNameTaken), errors.Is(err, plumb.ErrNameOnNode):
		return fmt.Errorf("%w: choose another with network@interface in the pod's annotation", err)
	case p.VF != nil && s == StepLink:
		return err
	case s == StepLink && errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the node's kernel has no macvlan support, or uplink %s cannot carry it: %w", carrier(p), err)
	case s == StepLink && errors.Is(err, unix.EINVAL):
		return r.explainInvalid(p, err)
	case s == StepLink && errors.Is(err, unix.EBUSY):
		return fmt.Errorf("uplink %s is already in use as a bridge port or by another kind of link: %w", carrier(p), err)
	case s == StepRoutes && errors.Is(err, unix.ENETUNREACH):
		return fmt.Errorf("%w: the next hop is in no subnet of the interface", err)
	}
	return err
}

// explainInvalid finds the reason of EINVAL, with which the kernel answers two different mistakes.
func (r *run) explainInvalid(p plan.Attachment, err error) error {
	uplink, found, findErr := plumb.FindLink(r.node, carrier(p))
	if findErr == nil && found && p.MTU > uplink.MTU {
		return fmt.Errorf("MTU %d exceeds that of uplink %s, which is %d: lower the Network's spec.mtu: %w", p.MTU, carrier(p), uplink.MTU, err)
	}
	return fmt.Errorf("uplink %s refuses mode %s: a link in mode passthru tolerates no other on its uplink: %w", carrier(p), p.Macvlan.Mode, err)
}
