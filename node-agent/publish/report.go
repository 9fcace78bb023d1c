// Package publish tells the API server what the node did: one queue, one writer for each object, nothing written
// twice.
package publish

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Report is everything that is to be told about one pod. A later report of the same pod replaces an earlier one.
type Report struct {
	Namespace string
	Name      string
	UID       types.UID
	SandboxID string
	// PrimaryIPs are the addresses on the cluster's default network.
	PrimaryIPs []netip.Addr
	// Interfaces in the order of the pod's selection.
	Interfaces []Interface
	// Freed are claims whose devices carry nothing any more.
	Freed []plan.Claim
	// Trouble is set where the pod has less than it selected and no Interface can carry the reason.
	Trouble string
}

// Interface is one attachment, made or failed.
type Interface struct {
	Plan plan.Attachment
	// Reason is one of the reasons of AttachmentConditionReady; Attached means that all of the plan is in the kernel.
	Reason string
	// Message says more where Reason is not Attached.
	Message string
	// Conflicts are the addresses of the plan that other machines have, for the reason DuplicateAddress.
	Conflicts []plan.Conflict
	// InPod is set where the interface is in the pod with all of its addresses, be its uplink up or down.
	InPod bool

	// QoS is what of the plan's class is in force; nil where the pod does not have the interface, or no class.
	QoS *plan.QoSReport

	MAC       plan.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	// Gateways, DNS and DeviceInfo are what CNI plugins told, beyond the plan.
	Gateways   []netip.Addr
	DNS        netstatus.DNS
	DeviceInfo *netstatus.DeviceInfo
	At         time.Time
	Duration   time.Duration
}

// inPod are the interfaces that the pod has.
func (r Report) inPod() []Interface {
	return slices.DeleteFunc(slices.Clone(r.Interfaces), func(i Interface) bool { return !i.InPod })
}

// attached tells whether the pod has every interface that it selected.
func (r Report) attached() bool {
	for _, i := range r.Interfaces {
		if !i.InPod {
			return false
		}
	}
	return r.Trouble == ""
}
