// Package ipam holds the addresses of one Network in memory.
//
// It is pure: no I/O, no clock (the caller passes the time), no locks (the caller serializes). The record of an
// address is the PodNetworkAttachment or the AddressClaim; a Pool is only a view on all of them and is rebuilt with Claim.
//
// Every operation on one address costs O(1), and O(log n) where a range is looked for among n. Memory grows with what
// was ever given out, not with what exists: a range remembers which part was never used, and queues what came back.
package ipam
