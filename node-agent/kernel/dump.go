package kernel

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// dumpAttempts bounds how often an interrupted dump is begun again. Each attempt is interrupted only by a
// change in the same namespace while the dump runs.
const dumpAttempts = 10

// Dump calls a listing function of netlink until its result is consistent: the kernel marks a dump that a
// concurrent change interrupted, and what was read then may lack objects or hold them twice.
func Dump[T any](list func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		result, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return result, err
		}
		if attempt == dumpAttempts {
			return result, fmt.Errorf("after %d attempts: %w", attempt, err)
		}
	}
}
