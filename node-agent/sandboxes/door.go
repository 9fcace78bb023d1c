package sandboxes

import (
	"context"
	"time"

	"github.com/multinet-dev/multinet/node-agent/attach"
)

// Door is the way by which the container runtime reaches the agent.
type Door string

// A node has one of them. Over CNI the runtime tells nothing of containers, and does not list its sandboxes.
const (
	DoorNRI Door = "NRI"
	DoorCNI Door = "CNI"
)

// closed says what is wrong where the runtime does not come.
func (d Door) closed() string {
	if d == DoorCNI {
		return "the CNI plugin of the node agent is not in the chain of the node's network configuration"
	}
	return "the container runtime is not connected over NRI"
}

// hookLimit ends a hook with an error before the runtime's usual 2 s are over: a plugin that is later than that is
// disconnected, and the pod starts without its networks.
const hookLimit = 1500 * time.Millisecond

// hookWait is how long a hook waits for anything but its own work in the kernel, all waits together: the hook lock is
// node-wide, and pods without networks are to be delayed by no more than that.
const hookWait = attach.AddressInUseWait

// Over CNI no pod waits for another, and a failure costs ten seconds or more. The plugin gives up a little after the limit.
const (
	callLimit = 10 * time.Second
	callWait  = 3 * time.Second
)

// limit ends a call of the runtime with an error, where the runtime does not say how long it waits.
func (d Door) limit() time.Duration {
	if d == DoorCNI {
		return callLimit
	}
	return hookLimit
}

// within ends a call of the runtime with an error before the runtime gives it up. Over NRI the call has the time of the runtime's
// plugin_request_timeout, which is longer where an admin knows the node to be slow.
func (d Door) within(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := d.limit()
	if gone, ok := ctx.Deadline(); ok && d == DoorNRI {
		limit = min(time.Until(gone)*3/4, callLimit)
	}
	return context.WithTimeout(ctx, limit)
}

// wait is for anything but the call's own work in the kernel.
func (d Door) wait() time.Duration {
	if d == DoorCNI {
		return callWait
	}
	return hookWait
}
