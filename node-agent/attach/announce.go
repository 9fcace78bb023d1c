package attach

import (
	"context"
	"errors"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Announce tells the segments of all attachments where the addresses are now. It is no part of Attach, since nothing
// that the pod does waits for it. The error joins an *Error for each attachment that failed.
func (a *Attacher) Announce(ctx context.Context, netnsPath string, attachments []plan.Attachment) error {
	if len(attachments) == 0 {
		return nil
	}
	return a.inside(ctx, netnsPath, attachments[0], StepAnnounce, func(r *run) error {
		var failed []error
		for _, p := range attachments {
			if !p.HasInterface() {
				continue
			}
			if err := plumb.Announce(p.Interface, hosts(p)); err != nil {
				failed = append(failed, newError(p, StepAnnounce, err))
			}
		}
		return errors.Join(failed...)
	})
}

func hosts(p plan.Attachment) []netip.Addr {
	addrs := make([]netip.Addr, 0, len(p.Addresses))
	for _, address := range p.Addresses {
		addrs = append(addrs, address.Addr())
	}
	return addrs
}
