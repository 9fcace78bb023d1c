package attach

import (
	"context"
	"time"
)

type patienceKey struct{}

// WithPatience has an Attach under the context wait no longer than d for MACs that are in use: a hook that has waited
// for other things before has less time left than the Attacher's own limit, while the attach itself may go on until the
// context ends.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// Patience is how long an Attach under the context waits for MACs that are in use, limit if the context does not say.
func Patience(ctx context.Context, limit time.Duration) time.Duration {
	if d, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		return min(d, limit)
	}
	return limit
}
