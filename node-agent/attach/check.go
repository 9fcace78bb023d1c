package attach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Check compares a pod's interfaces with the plan and changes nothing. The error joins an *Error for each attachment
// that is not as planned; Attach repairs it.
func (a *Attacher) Check(ctx context.Context, netnsPath string, attachments []plan.Attachment) error {
	if len(attachments) == 0 {
		return nil
	}
	return a.inside(ctx, netnsPath, attachments[0], StepCheck, func(r *run) error {
		now, err := r.snapshot()
		if err != nil {
			return newError(attachments[0], StepCheck, err)
		}
		var wrong []error
		for _, p := range attachments {
			if err := r.check(p, now); err != nil {
				wrong = append(wrong, newError(p, StepCheck, err))
			}
		}
		return errors.Join(wrong...)
	})
}

// snapshot is what a check compares, read once for all attachments of a pod.
type snapshot struct {
	links     map[string]plumb.Link
	addresses map[int][]netip.Prefix
	routes    []plumb.Route
}

func (r *run) snapshot() (snapshot, error) {
	links, errLinks := plumb.Links(r.pod)
	addresses, errAddresses := plumb.AllAddresses(r.pod)
	routes, errRoutes := plumb.Routes(r.pod)
	s := snapshot{links: map[string]plumb.Link{}, addresses: addresses, routes: routes}
	for _, link := range links {
		s.links[link.Name] = link
	}
	return s, errors.Join(errLinks, errAddresses, errRoutes)
}

// check returns the first difference.
func (r *run) check(p plan.Attachment, now snapshot) error {
	if p.VF != nil {
		if err := r.checkVF(p); err != nil || !p.HasInterface() {
			return err
		}
	}
	if index := now.links[p.Interface].Index; r.guards != nil && p.Macvlan != nil && index != 0 && !r.guards.Guarded(p, index) {
		return errors.New("the program that holds the interface to its class is missing")
	}
	if p.Overlay == nil {
		// The parent is in the node's namespace and may be renamed there; that it is the right one was seen at attach.
		return now.check(p, plumb.Uplink{Index: now.links[p.Interface].Parent})
	}
	// An overlay's link has a name of its own, and a pod may be left on none after it was made anew.
	link, err := plumb.FindOverlay(r.node, *p.Overlay)
	if err != nil {
		return err
	}
	return now.check(p, link)
}

func (s snapshot) check(p plan.Attachment, on plumb.Uplink) error {
	link, ok := s.links[p.Interface]
	if !ok {
		return errors.New("the interface is missing")
	}
	mismatch := ""
	if p.Lent() != "" {
		mismatch = lentMismatch(p, link)
	} else {
		mismatch = wantedLink(p, on).Mismatch(link)
	}
	if mismatch != "" {
		return errors.New(mismatch)
	}
	if !link.Up {
		return errors.New("the interface is down")
	}
	for _, address := range p.Addresses {
		if !slices.Contains(s.addresses[link.Index], address) {
			return fmt.Errorf("address %s is missing", address)
		}
	}
	for _, route := range p.Routes {
		leads := func(r plumb.Route) bool { return r.Matches(link.Index, route) }
		if !slices.ContainsFunc(s.routes, leads) {
			return fmt.Errorf("the route to %s is missing", route.To)
		}
	}
	return s.checkDefaults(p, link.Index)
}
