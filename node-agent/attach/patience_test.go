package attach

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// All interfaces of a pod together wait no longer than one limit: other pods wait for the hook to end.
func TestPatience(t *testing.T) {
	for name, test := range map[string]struct {
		before time.Duration
		want   time.Duration
	}{
		"the attacher's own":             {want: AddressInUseWait},
		"the hook has waited before":     {before: 100 * time.Millisecond, want: 100 * time.Millisecond},
		"the hook may wait for longer":   {before: time.Hour, want: AddressInUseWait},
		"the hook has no time left":      {before: -time.Second, want: 0},
		"the hook has just no time left": {before: time.Nanosecond, want: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.before != 0 {
					ctx = WithPatience(ctx, test.before)
				}
				r := &run{Attacher: New(Options{}), ctx: ctx}
				begin := time.Now()
				first, tries := test.want/2, 0
				err := r.waitForMAC(func() error {
					if tries++; time.Since(begin) < first {
						return unix.EADDRINUSE
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				for range 3 {
					if err := r.waitForMAC(func() error { return unix.EADDRINUSE }); !errors.Is(err, unix.EADDRINUSE) {
						t.Errorf("error %v", err)
					}
				}
				if took := time.Since(begin); took != test.want {
					t.Errorf("waited %s, want %s", took, test.want)
				}
			})
		})
	}
}

func TestPatienceEndsWithTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		r := &run{Attacher: New(Options{}), ctx: ctx}
		err := r.waitForMAC(func() error { return unix.EADDRINUSE })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, unix.EADDRINUSE) || time.Since(begin) != 50*time.Millisecond {
			t.Errorf("error %v after %s", err, time.Since(begin))
		}
	})
}
