package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// ensureDefaults comes last: what the pod sends goes by the new way as soon as it is there.
func (r *run) ensureDefaults(p plan.Attachment, index int) error {
	for _, via := range p.DefaultRoutes {
		created, err := plumb.EnsureDefault(r.pod, index, via)
		if created || err != nil {
			r.undo.push("take back the default route via "+via.String(), func() error {
				return errors.Join(plumb.RemoveDefault(r.pod, index, via), plumb.RestoreDefault(r.pod, via))
			})
		}
		if err != nil {
			return &itemError{plumb.DefaultOf(via).String(), err}
		}
	}
	return nil
}

// checkDefaults wants ours to be the one that the kernel takes.
func (s snapshot) checkDefaults(p plan.Attachment, index int) error {
	for _, via := range p.DefaultRoutes {
		want := plan.Route{To: plumb.DefaultOf(via), Via: via}
		var first *plumb.Route
		for i, route := range s.routes {
			if route.To == want.To && (first == nil || route.Metric < first.Metric) {
				first = &s.routes[i]
			}
		}
		if first == nil || !first.Matches(index, want) {
			return fmt.Errorf("the default route via %s is missing, or another one comes first", via)
		}
	}
	return nil
}

// restoreDefaults gives a pod that goes on without the interfaces the default routes that it had before them.
func (a *Attacher) restoreDefaults(ctx context.Context, netnsPath string, attachments []plan.Attachment) error {
	var errs []error
	for _, p := range attachments {
		if len(p.DefaultRoutes) == 0 {
			continue
		}
		err := a.inside(ctx, netnsPath, p, StepRemove, func(r *run) error {
			for _, via := range p.DefaultRoutes {
				if err := plumb.RestoreDefault(r.pod, via); err != nil {
					return newError(p, StepRemove, err)
				}
			}
			return nil
		})
		if !errors.Is(err, kernel.ErrNamespaceGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
