// Package measure compares two ways of doing the same, for the programs below hack/bench.
package measure

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Side is one round of one side of a comparison. It returns the time that counts.
type Side func() (time.Duration, error)

// Alternate measures two sides in turn. Who comes first alternates as well: the second finds warmer caches.
func Alternate(ctx context.Context, rounds int, one, other Side) (ones, others Durations, err error) {
	results := [2]Durations{}
	sides := [2]Side{one, other}
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

// Durations are those of all rounds of a side, in their order.
type Durations []time.Duration

// Quantile returns that of q between 0 and 1.
func (d Durations) Quantile(q float64) time.Duration {
	return slices.Sorted(slices.Values(d))[int(q*float64(len(d)-1))]
}

// Median is the upper one of an even number.
func (d Durations) Median() time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

// String is for lines of several figures.
func (d Durations) String() string {
	return fmt.Sprintf("least %8.3f ms, median %8.3f ms", Milliseconds(d.Quantile(0)), Milliseconds(d.Median()))
}

// Print writes the median of a side and another quantile such as 0.99.
func (d Durations) Print(name string, q float64) {
	fmt.Printf("%-26s median %8.3f ms   p%.0f %8.3f ms\n", name, Milliseconds(d.Median()), 100*q, Milliseconds(d.Quantile(q)))
}

// Milliseconds of a duration, with their fraction.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Ratio prints that of two medians, as the line that `make bench` is read for.
func Ratio(name string, ones, others Durations) {
	fmt.Printf("ratio %s %.3f\n", name, float64(ones.Median())/float64(others.Median()))
}
