package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// slowLock is a lease that takes a while to write, and may fail.
type slowLock struct {
	resourcelock.Interface
	takes time.Duration
	err   error
}

func (l *slowLock) Identity() string { return "me" }

func (l *slowLock) Update(ctx context.Context, _ resourcelock.LeaderElectionRecord) error {
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
	}
	return l.err
}

func (l *slowLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, r)
}

func open(f *Fence) bool {
	_, cancel, err := f.Guard(context.Background())
	if err != nil && !errors.Is(err, ErrFenced) {
		panic(err)
	}
	if err == nil {
		cancel()
	}
	return err == nil
}

func TestFence(t *testing.T) {
	mine, nobodys := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}, resourcelock.LeaderElectionRecord{}
	synctest.Test(t, func(t *testing.T) {
		lock := &slowLock{takes: 3 * time.Second}
		f := NewFence(lock, 10*time.Second)
		is := func(want bool, when string) {
			t.Helper()
			if open(f) != want {
				t.Errorf("%s: open is %v", when, !want)
			}
		}
		is(false, "before the lease is held")
		if err := f.Create(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		is(true, "just acquired")
		// It counts from when the request was sent: 3 of the 10 seconds are gone.
		time.Sleep(6900 * time.Millisecond)
		is(true, "shortly before the deadline")
		time.Sleep(200 * time.Millisecond)
		is(false, "after the deadline")
		lock.err = errors.New("unreachable")
		_ = f.Update(t.Context(), mine)
		is(false, "after a renewal that failed")
		lock.err = nil
		_ = f.Update(t.Context(), mine)
		is(true, "renewed")
		lock.err = errors.New("unreachable")
		_ = f.Update(t.Context(), nobodys)
		is(false, "given up, whether or not that arrived")
	})
}

func TestFenceEndsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFence(&slowLock{}, 10*time.Second)
		_ = f.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "me"})
		began := time.Now()
		ctx, cancel, err := f.Guard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		<-ctx.Done()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("a request may take %s", took)
		}
	})
}

// A leader is stopped, another one leads and steps down: the first one's books lack what the other gave out.
func TestFenceIsForOneTerm(t *testing.T) {
	f := NewFence(&slowLock{}, 10*time.Second)
	record := resourcelock.LeaderElectionRecord{HolderIdentity: "me", LeaderTransitions: 1}
	for range 2 {
		if err := f.Update(t.Context(), record); err != nil || !open(f) {
			t.Fatalf("first term: %v", err)
		}
	}
	record.LeaderTransitions = 3
	if err := f.Update(t.Context(), record); !errors.Is(err, ErrFenced) || open(f) {
		t.Errorf("second term: %v", err)
	}
}

func TestNoFenceWithoutLeaderElection(t *testing.T) {
	if !open(nil) {
		t.Error("closed")
	}
}
