package decide

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const (
	// defaultRetention is that of the CRD, for objects that were stored before it had a default.
	defaultRetention = 24 * time.Hour
	// maxUnusedGrace is the longest time that a pod of the name can be away before it is recorded: that of a StatefulSet comes
	// back at once, and each record costs two writes.
	maxUnusedGrace = time.Minute
)

// ClaimFacts is everything that a claim's status is made of.
type ClaimFacts struct {
	Claim *v1alpha1.AddressClaim
	// Network is nil where it does not exist.
	Network *v1alpha1.Network
	// Problem is what CheckClaim found.
	Problem *Refusal
	// InTheWay has the reason AddressInUse or MACInUse, and names who has it; nil if nobody has.
	InTheWay *Refusal
	// UnusedSince is when the last pod of the name and its attachments were seen to be gone, zero if there is one.
	UnusedSince time.Time
	Now         metav1.Time
}

// ClaimStatus is the status to write. A pod that is away for a moment changes nothing.
func ClaimStatus(f ClaimFacts) v1alpha1.AddressClaimStatus {
	status := v1alpha1.AddressClaimStatus{Conditions: slices.Clone(f.Claim.Status.Conditions), UnusedSince: f.Claim.Status.UnusedSince}
	switch {
	case f.UnusedSince.IsZero():
		status.UnusedSince = nil
	case status.UnusedSince == nil && f.Now.Sub(f.UnusedSince) >= f.grace():
		status.UnusedSince = &metav1.Time{Time: f.UnusedSince.Truncate(time.Second)}
	}
	c := f.reserved()
	c.ObservedGeneration, c.LastTransitionTime = f.Claim.Generation, f.Now
	meta.SetStatusCondition(&status.Conditions, c)
	return status
}

func (f ClaimFacts) reserved() metav1.Condition {
	switch {
	case f.Problem != nil:
		return condition(v1alpha1.AddressClaimConditionReserved, false, f.Problem.Reason, oneLine(f.Problem.Message))
	case f.InTheWay != nil:
		return condition(v1alpha1.AddressClaimConditionReserved, false, f.InTheWay.Reason, f.InTheWay.Message)
	}
	return condition(v1alpha1.AddressClaimConditionReserved, true, v1alpha1.ReasonReserved, fmt.Sprintf("Kept for pod %q.", f.Claim.Spec.PodName))
}

// Expired tells whether the operator is to delete a claim that it made, as far as the recorded status goes.
func (f ClaimFacts) Expired() bool {
	since := f.Claim.Status.UnusedSince
	return IsSticky(f.Claim) && !f.UnusedSince.IsZero() && since != nil && f.Now.Sub(since.Time) >= f.retention()
}

// Next is how long the claim can be left alone, 0 for ever.
func (f ClaimFacts) Next() time.Duration {
	switch since := f.Claim.Status.UnusedSince; {
	case f.UnusedSince.IsZero():
		return 0
	case since == nil:
		return max(f.grace()-f.Now.Sub(f.UnusedSince), time.Millisecond)
	case IsSticky(f.Claim):
		return max(f.retention()-f.Now.Sub(since.Time), time.Millisecond)
	}
	return 0
}

// retention: a Network that is not sticky any more keeps nothing for pods that are gone.
func (f ClaimFacts) retention() time.Duration {
	switch {
	case f.Network == nil || !KeepsAddresses(f.Network):
		return 0
	case f.Network.Spec.IPAM.Retention == nil:
		return defaultRetention
	}
	return f.Network.Spec.IPAM.Retention.Duration
}

func (f ClaimFacts) grace() time.Duration { return min(f.retention()/10, maxUnusedGrace) }
