package attach

import (
	"context"
	"slices"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Guard puts programs on the links of a pod that was attached, where they need one and have none. It is not a part of Attach, which
// a hook waits for: when the kernel takes a program it waits until no CPU uses the former list of a link's programs any more, for
// tens of milliseconds on most kernels, and holds the lock meanwhile that every change of a link needs. Until then the pod's packets
// have no token, and are in the class of those that have none. Trouble with a program is told by who reports the class.
func (a *Attacher) Guard(ctx context.Context, netnsPath string, attachments []plan.Attachment) error {
	attachments = slices.DeleteFunc(slices.Clone(attachments), func(p plan.Attachment) bool {
		return a.guards == nil || p.Macvlan == nil || !a.guards.Needed(p)
	})
	if len(attachments) == 0 {
		return nil
	}
	return a.inside(ctx, netnsPath, attachments[0], StepGuard, func(r *run) error {
		for _, p := range attachments {
			link, found, err := plumb.FindLink(r.pod, p.Interface)
			if err != nil {
				return newError(p, StepGuard, err)
			}
			if found && link.Ours {
				r.guards.Guard(p, link.Index)
			}
		}
		return nil
	})
}
