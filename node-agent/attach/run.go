package attach

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// run is one call of Attach or another method, on a thread that is in the pod's namespace.
type run struct {
	*Attacher
	ctx  context.Context
	node *kernel.Namespace
	pod  *kernel.Namespace
	undo undoStack
	// several interfaces of one pod may be on one segment, where Linux lets each answer for the others' addresses.
	several bool
	// patience ends when waiting for MACs does; zero before the first wait.
	patience time.Time
}

// attach makes one interface, in the order that the kernel needs: the sysctls can be written once the link
// exists, and must be before it is up; addresses go onto a link that is up, or an IPv6 one stays tentative; a route
// needs the address that makes its next hop a neighbour.
func (r *run) attach(p plan.Attachment) (Result, error) {
	start := time.Now()
	var link plumb.Link
	steps := r.linkSteps(p, &link)
	switch {
	case p.VF != nil:
		steps = r.vfSteps(p, &link)
	case p.HostDevice != nil:
		steps = r.nicSteps(p, &link)
	}
	if p.HasInterface() {
		steps = append(steps,
			step{StepUp, func() error { return r.bringUp(p, &link) }},
			step{StepAddresses, func() error { return r.ensureAddresses(p, link.Index) }},
			step{StepRoutes, func() error { return r.ensureRoutes(p, link.Index) }})
	}
	err := r.steps(p, append(steps, step{StepDone, nil})...)
	return Result{
		Interface: p.Interface,
		MAC:       link.MAC,
		MTU:       link.MTU,
		Addresses: p.Addresses,
		IfIndex:   link.Index,
		Duration:  time.Since(start),
	}, err
}

func (r *run) linkSteps(p plan.Attachment, link *plumb.Link) []step {
	var uplink plumb.Uplink
	return []step{
		{StepUplink, func() (err error) { uplink, err = r.uplink(p); return err }},
		{StepLink, func() (err error) { *link, err = r.ensureLink(p, uplink); return err }},
	}
}

type step struct {
	name Step
	do   func() error
}

// steps stops at the first step that fails, and before a step that would begin after the end of ctx.
func (r *run) steps(p plan.Attachment, steps ...step) error {
	for _, s := range steps {
		if err := r.checkpoint(p, s.name); err != nil {
			return newError(p, s.name, err)
		}
		if s.do == nil {
			continue
		}
		if err := s.do(); err != nil {
			return newError(p, s.name, r.explain(p, s.name, err))
		}
	}
	return nil
}

func (r *run) checkpoint(p plan.Attachment, s Step) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.before != nil {
		return r.before(p.Network, p.Interface, s)
	}
	return nil
}

// uplink is what the macvlan is put on.
func (r *run) uplink(p plan.Attachment) (plumb.Uplink, error) {
	if p.Macvlan == nil {
		return plumb.Uplink{}, errors.New("the plan is for no data path that this node agent knows")
	}
	if p.Overlay != nil {
		return r.overlay(p)
	}
	if vlan, tagged := p.VLAN(); tagged {
		return plumb.EnsureVLAN(r.node, vlan.Uplink, vlan.ID)
	}
	return plumb.FindUplink(r.node, p.Device.Uplink)
}

func (r *run) ensureLink(p plan.Attachment, uplink plumb.Uplink) (plumb.Link, error) {
	link, created, err := plumb.EnsureMacvlan(r.node, r.pod, wantedLink(p, uplink))
	if created {
		r.undo.push("remove interface "+p.Interface, func() error { return plumb.RemoveLink(r.pod, link.Index) })
	}
	return link, err
}

func wantedLink(p plan.Attachment, uplink plumb.Uplink) plumb.Macvlan {
	return plumb.Macvlan{
		Name:       p.Interface,
		Uplink:     uplink,
		MAC:        net.HardwareAddr(p.MAC),
		MTU:        p.MTU,
		Mode:       p.Macvlan.Mode,
		GSOMaxSize: p.GSOMaxSize,
	}
}

// bringUp leaves alone a link that is up: its sysctls were written before it came up, or changed by the pod since. Only that it was
// alone then may be true no more.
func (r *run) bringUp(p plan.Attachment, link *plumb.Link) error {
	if link.Up && r.several {
		return plumb.SetUpStrict(r.pod, link.Index)
	}
	if link.Up {
		return nil
	}
	if err := plumb.QuietIPv6(r.proc, p.Interface); err != nil {
		return err
	}
	up := func() error { return plumb.SetUp(r.pod, link.Index) }
	if r.several {
		up = func() error { return plumb.SetUpStrict(r.pod, link.Index) }
	}
	if err := r.waitForMAC(up); err != nil {
		return err
	}
	link.Up = true
	return nil
}

// waitForMAC repeats what fails because another link on the uplink has the MAC. Most often that is the link of the
// pod's former sandbox, which the kernel takes some milliseconds to remove after its namespace is gone. All
// interfaces of the pod share one patience.
func (r *run) waitForMAC(try func() error) error {
	for {
		err := try()
		if !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
		if r.patience.IsZero() {
			r.patience = time.Now().Add(Patience(r.ctx, r.inUseWait))
		}
		if !time.Now().Before(r.patience) {
			return err
		}
		select {
		case <-r.ctx.Done():
			return errors.Join(err, r.ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *run) ensureAddresses(p plan.Attachment, index int) error {
	for _, address := range p.Addresses {
		if err := r.ensureAddress(index, address); err != nil {
			return &itemError{address.String(), err}
		}
	}
	return nil
}

func (r *run) ensureAddress(index int, address netip.Prefix) error {
	created, err := plumb.EnsureAddress(r.pod, index, address)
	if created {
		r.undo.push("remove address "+address.String(), func() error { return plumb.RemoveAddress(r.pod, index, address) })
	}
	return err
}

func (r *run) ensureRoutes(p plan.Attachment, index int) error {
	for _, route := range p.Routes {
		created, err := plumb.EnsureRoute(r.pod, index, route)
		if created {
			r.undo.push("remove route to "+route.To.String(), func() error { return plumb.RemoveRoute(r.pod, index, route) })
		}
		if err != nil {
			return &itemError{route.To.String(), err}
		}
	}
	return r.ensureDefaults(p, index)
}
