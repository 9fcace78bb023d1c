package controllers

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
)

// lease is the stored Lease.
type lease struct {
	holder      string
	renewed     time.Time
	transitions int
}

// leaseLock is one operator's way to the lease. Unlike client-go it looks at the true time of the last renewal, which
// takes the lease at the earliest instant that any clock would allow.
type leaseLock struct {
	resourcelock.Interface
	lease    *lease
	identity string
}

func (l leaseLock) Identity() string { return l.identity }

func (l leaseLock) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	others := l.lease.holder != "" && l.lease.holder != l.identity
	releases := record.HolderIdentity == ""
	if others && (releases || time.Since(l.lease.renewed) < leaseDuration) {
		return apierrors.NewConflict(schema.GroupResource{}, "lease", nil)
	}
	*l.lease = lease{record.HolderIdentity, time.Now(), record.LeaderTransitions}
	return nil
}
