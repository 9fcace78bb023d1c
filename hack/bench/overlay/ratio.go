package main

import (
	"fmt"
	"slices"

	"github.com/multinet-dev/multinet/hack/measure"
)

// ratio is that of the rounds in pairs, and of those the median: what else the machine does is the same for both of a pair.
func ratio(name string, ones, others measure.Durations) {
	quotients := make([]float64, len(ones))
	for i := range ones {
		quotients[i] = float64(ones[i]) / float64(others[i])
	}
	slices.Sort(quotients)
	fmt.Printf("ratio %s %.3f\n", name, quotients[len(quotients)/2])
}
