package attach

import (
	"errors"
	"fmt"
)

// undoStack holds how to take back what one Attach created.
type undoStack struct{ actions []undoAction }

type undoAction struct {
	name string
	do   func() error
}

func (u *undoStack) push(name string, do func() error) {
	u.actions = append(u.actions, undoAction{name, do})
}

// unwind takes everything back, last thing first, and returns the cause, joined with what could not be taken back. It
// does not look at the context: the time that an attach had is over when it is needed.
func (u *undoStack) unwind(cause error) error {
	failed := []error{cause}
	for i := len(u.actions) - 1; i >= 0; i-- {
		if err := u.actions[i].do(); err != nil {
			failed = append(failed, fmt.Errorf("undo: %s: %w", u.actions[i].name, err))
		}
	}
	u.actions = nil
	if len(failed) == 1 {
		return cause
	}
	return errors.Join(failed...)
}
