package main

import (
	"fmt"
	"slices"
	"time"
)

type durations []time.Duration

func (d durations) median() time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

func (d durations) String() string {
	return fmt.Sprintf("median %.4f ms, least %.4f ms", milliseconds(d.median()), milliseconds(slices.Min(d)))
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
