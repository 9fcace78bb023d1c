// Package sandboxes is the node's memory of pod sandboxes and of what is planned for them. It decides what is
// attached, verified, dropped and released; DRA and NRI only translate into it.
//
// The order of one pod's life is: Prepare (DRA; may wait, writes the plan to the ledger) -> Run (NRI; netlink only)
// -> Check (NRI, before each container) -> Stop (NRI) -> the API object is deleted -> the loop drops the plan and
// lets the finalizer go. None of these steps may rely on the one before having happened in this process.
package sandboxes

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
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
	// AtCreation is what the pod was created with, where the annotation had been edited by the time the sandbox was made: what it
	// has beside that may not be to be had.
	AtCreation *string `json:"atCreation,omitempty"`
	// Without are interfaces of the Selection that the sandbox does not have, or no more, and With those that it has got since.
	Without []string  `json:"without,omitempty"`
	With    []Plugged `json:"with,omitempty"`
	// Network and Interface are the name of the CNI configuration and the interface of the default network, where the runtime
	// came over CNI.
	Network   string `json:"network,omitempty"`
	Interface string `json:"interface,omitempty"`
}

// Plugged is an interface that a sandbox has got while its pod ran.
type Plugged struct {
	Network   string `json:"network"`
	Interface string `json:"interface"`
}

// selections are the interfaces that the sandbox is to have.
func (s Sandbox) selections() ([]selection.Selection, error) {
	list, err := selection.Parse(s.Selection)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(sel selection.Selection) bool { return slices.Contains(s.Without, sel.Interface) })
	for _, p := range s.With {
		list = append(list, selection.Selection{Network: p.Network, Interface: p.Interface})
	}
	return list, nil
}

func (s Sandbox) with(network, iface string) Sandbox {
	s.With = append(slices.Clone(s.With), Plugged{Network: network, Interface: iface})
	return s
}

func (s Sandbox) without(iface string) Sandbox {
	plugged := len(s.With)
	s.With = slices.DeleteFunc(slices.Clone(s.With), func(p Plugged) bool { return p.Interface == iface })
	if len(s.With) == plugged {
		s.Without = append(slices.Clone(s.Without), iface)
	}
	return s
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
