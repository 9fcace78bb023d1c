// Package controllers applies what package decide decides: one file per reconciler, and the allocator that
// they share.
//
// Pods are planned before they are bound (ResourceClaimTemplates) and after (PodNetworkAttachments with
// addresses). A pod that cannot be planned waits in memory and is woken by the event that changes the answer;
// nothing polls. Only the leader runs any of this, and Fence keeps a leader whose lease may have expired from
// giving out addresses.
package controllers
