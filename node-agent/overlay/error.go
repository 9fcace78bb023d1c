package overlay

import (
	"fmt"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Step names what was being done; it is part of the text that users see.
type Step string

// Steps in their order.
const (
	StepList    Step = "list the PodNetworkAttachments of the rack"
	StepGuard   Step = "admit the rack's nodes"
	StepLink    Step = "make the VXLAN link"
	StepEntries Step = "program the pods of other nodes"
)

// Error tells why a node does not take part in an overlay, or not in full.
type Error struct {
	Network string
	Rack    string
	Step    Step
	Err     error
}

func (e *Error) Error() string {
	return fmt.Sprintf("network %q rack %q: %s: %v", e.Network, e.Rack, e.Step, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func newError(o plan.Overlay, s Step, err error) *Error {
	return &Error{Network: o.Network, Rack: o.Rack, Step: s, Err: err}
}
