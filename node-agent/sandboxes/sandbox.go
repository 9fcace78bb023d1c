// Package sandboxes is the node's memory of pod sandboxes and of what is planned for them. It decides what is
// attached, verified, dropped and released; DRA and NRI only translate into it.
//
// The order of one pod's life is: Prepare (DRA; may wait, writes the plan to the ledger) -> Run (NRI; netlink only)
// -> Check (NRI, before each container) -> Stop (NRI) -> the API object is deleted -> the loop drops the plan and
// lets the finalizer go. None of these steps may rely on the one before having happened in this process.
package sandboxes

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// Sandbox is a pod sandbox as the runtime tells of it.
type Sandbox struct {
	// ID is the runtime's.
	ID        string    `json:"id"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	PodUID    types.UID `json:"podUID"`
	// NetNS is the path of the network namespace, empty for pods on the host's network.
	NetNS string `json:"netns"`
	// IPs are the addresses on the cluster's default network.
	IPs []netip.Addr `json:"ips,omitempty"`
	// Selection is the value of the annotation multinet.dev/networks when the sandbox was made.
	Selection string `json:"selection"`
	// Network and Interface are the name of the CNI configuration and the interface of the default network, where the runtime
	// came over CNI.
	Network   string `json:"network,omitempty"`
	Interface string `json:"interface,omitempty"`
}

// phase is how far the kernel work on a sandbox is.
type phase int

const (
	// found: the runtime listed the sandbox; what it holds is not known yet.
	found phase = iota
	// attaching: the hook or a repair is at work.
	attaching
	// attached: everything selected was there when last looked at.
	attached
	// broken: a repair failed; something of it may be there.
	broken
	// stopped: nothing of ours is in it any more.
	stopped
)

// holds tells whether the sandbox may have addresses of ours.
func (p phase) holds() bool { return p != stopped }
