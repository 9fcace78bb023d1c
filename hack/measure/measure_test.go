package measure

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAlternate(t *testing.T) {
	var order strings.Builder
	side := func(name string, each time.Duration) Side {
		took := time.Duration(0)
		return func() (time.Duration, error) { order.WriteString(name); took += each; return took, nil }
	}
	ones, others, err := Alternate(t.Context(), 3, side("a", 1), side("b", 10))
	if err != nil || order.String() != "abbaab" {
		t.Errorf("order %s, %v", order.String(), err)
	}
	if diff := cmp.Diff([]Durations{{1, 2, 3}, {10, 20, 30}}, []Durations{ones, others}); diff != "" {
		t.Error(diff)
	}
	boom := errors.New("boom")
	if _, _, err := Alternate(t.Context(), 3, side("a", 1), func() (time.Duration, error) { return 0, boom }); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := Alternate(ended, 3, side("a", 1), side("b", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestQuantiles(t *testing.T) {
	d := Durations{30, 10, 20, 50, 40}
	if d.Median() != 30 || d.Quantile(0) != 10 || d.Quantile(1) != 50 || d.Quantile(0.5) != 30 || d[0] != 30 {
		t.Errorf("median %d, least %d, most %d of %v", d.Median(), d.Quantile(0), d.Quantile(1), d)
	}
}
