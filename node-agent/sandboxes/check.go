package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// verifyWait is how long a check waits for other work on the sandbox, such as one of the agent's own looks.
const verifyWait = time.Second

// ErrUnknownSandbox is a sandbox that selects networks and has none of them.
var ErrUnknownSandbox = errors.New("the sandbox is not attached to the networks that the pod selects")

// VerifySandbox compares what is in a sandbox with what is planned for it. It changes nothing itself; what it finds wrong is
// repaired a little later.
func (k *Keeper) VerifySandbox(ctx context.Context, sandbox Sandbox) error {
	e, phase := k.state.entry(sandbox.ID)
	if selections, err := sandbox.selections(); e == nil && (err != nil || len(selections) == 0) {
		return err
	}
	if e == nil || phase == stopped {
		return ErrUnknownSandbox
	}
	waiting, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	if err := e.acquire(waiting); err != nil {
		return fmt.Errorf("other work on the sandbox has not ended: %w", err)
	}
	defer e.release()
	selections, err := k.state.selections(e)
	if err != nil {
		return err
	}
	attachments, missing := k.state.planned(sandbox.PodUID, selections)
	if len(missing) > 0 {
		return notPlannedError(missing[0])
	}
	err = k.check(ctx, e, attachments)
	if err == nil {
		err = k.checkByPlugins(ctx, e, attachments)
	}
	if err != nil {
		k.state.setBroken(e)
		k.Wake()
		return err
	}
	return nil
}
