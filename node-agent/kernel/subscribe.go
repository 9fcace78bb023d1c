package kernel

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
)

// LinkChanges calls changed with the name of each link of the node that appears, changes or goes, until ctx ends or
// messages may have been lost; then it returns, and the caller looks at the links and calls it again. The kernel
// reports a change of the carrier too.
func LinkChanges(ctx context.Context, changed func(name string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	options := netlink.LinkSubscribeOptions{ErrorCallback: func(err error) { cancel(err) }}
	if err := netlink.LinkSubscribeWithOptions(updates, done, options); err != nil {
		return fmt.Errorf("subscribe to link changes: %w", err)
	}
	// The library's goroutine sends until it sees done: read on, so that it cannot be left blocked.
	defer func() {
		close(done)
		go func() {
			for range updates {
			}
		}()
	}()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("subscription to link changes: %w", context.Cause(ctx))
		case update, ok := <-updates:
			if !ok {
				return fmt.Errorf("subscription to link changes ended")
			}
			changed(update.Attrs().Name)
		}
	}
}
