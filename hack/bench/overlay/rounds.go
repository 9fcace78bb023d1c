package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// side is one round of one side of a comparison.
type side func() (time.Duration, error)

// alternate measures two sides in turn. Who comes first alternates as well: the second finds warmer caches.
func alternate(ctx context.Context, rounds int, one, other side) (ones, others durations, err error) {
	results := [2]durations{}
	sides := [2]side{one, other}
	for round := range rounds {
		for turn := range sides {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			which := (round + turn) % 2
			took, err := sides[which]()
			if err != nil {
				return nil, nil, fmt.Errorf("round %d: %w", round, err)
			}
			results[which] = append(results[which], took)
		}
	}
	return results[0], results[1], nil
}

type durations []time.Duration

func (d durations) median() time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

func (d durations) least() time.Duration { return slices.Min(d) }

func (d durations) String() string {
	return fmt.Sprintf("least %8.3f ms, median %8.3f ms", milliseconds(d.least()), milliseconds(d.median()))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ratio is that of the rounds in pairs, and of those the median: what else the machine does is the same for both of a pair.
func ratio(name string, ones, others durations) {
	quotients := make([]float64, len(ones))
	for i := range ones {
		quotients[i] = float64(ones[i]) / float64(others[i])
	}
	slices.Sort(quotients)
	fmt.Printf("ratio %s %.3f\n", name, quotients[len(quotients)/2])
}
