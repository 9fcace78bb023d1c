package sandboxes

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A removal comes after what is urgent, but not for ever, and one at a time.
func TestRemovalsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRemovals(), time.Now()
		one, other := r.first(), r.first()
		var order []string
		var all sync.WaitGroup
		defer all.Wait()
		for _, name := range []string{"first removal", "second removal"} {
			all.Go(func() {
				done := r.last()
				order = append(order, name)
				time.Sleep(time.Millisecond)
				done()
			})
			synctest.Wait()
		}
		one()
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("%v while an attach is at work", order)
		}
		other()
		synctest.Wait()
		if len(order) != 1 || order[0] != "first removal" {
			t.Errorf("%v when nothing is urgent", order)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if len(order) != 2 || time.Since(start) != time.Millisecond {
			t.Errorf("%v after %v", order, time.Since(start))
		}
	})
}

func TestRemovalsDoNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRemovals(), time.Now()
		defer r.first()()
		r.last()()
		if waited := time.Since(start); waited != removalWait {
			t.Errorf("it waited %v", waited)
		}
	})
}
